"""Read the one YAML file into typed, frozen settings, and say precisely what is wrong with it.

Read once at start: a restart takes seconds and loses nothing, so there is no hot reload. Every part gets its own
settings (`CameraSettings`, `ModelSettings`, …), never the whole. Secrets are `Secret`s: they print as `***`.
`${NAME}` in any value reads the environment; `password_file` reads a file (systemd credentials).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from birdwatchd.address import Secret, Source
from birdwatchd.errors import ConfigError
from birdwatchd.settings.agreement import Disagreement, disagreements
from birdwatchd.settings.alerts import AlertSettings
from birdwatchd.settings.base import Fraction, Settings, check_slug
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.mqtt import MqttSettings

__all__ = [
    "AlertSettings",
    "CameraSettings",
    "ChannelSettings",
    "Config",
    "ModelSettings",
    "MqttSettings",
    "Secret",
    "Source",
    "SpeciesSettings",
    "StationSettings",
    "check_slug",
    "default_home",
    "find_config",
    "load_config",
    "parse_config",
]

SEARCH_PATHS = (Path("birdwatchd.yaml"), Path("/etc/birdwatchd/birdwatchd.yaml"))
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


Month = Annotated[int, Field(ge=1, le=12)]


class StationSettings(Settings):
    """Where this daemon stands."""

    name: str = "home"
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    timezone: str = "UTC"

    @field_validator("name")
    @classmethod
    def _name_is_slug(cls, value: str) -> str:
        return check_slug(value)

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("is no time zone; use a name such as Asia/Jerusalem or Europe/Berlin")
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The station's time zone."""
        return ZoneInfo(self.timezone)


class ModelSettings(Settings):
    """The classifier. `file` takes weights of your own (.pt or .safetensors in birder's formats) instead of a name."""

    name: str = "davit_tiny_il-all"
    file: Path | None = None
    cache_dir: Path | None = None
    download: bool = True
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_batch: Annotated[int, Field(ge=1, le=1024)] = 32
    max_wait_ms: Annotated[int, Field(ge=0, le=5000)] = 50
    threads: Annotated[int, Field(ge=0, le=256)] = 0


class SpeciesSettings(Settings):
    """When a name is good enough to be said, and what is to be expected here.

    Lists hold names of species, common or scientific, or of a genus, family or order. With an `allow` list everything
    else is improbable; what is on `deny` is never said; what is on `always` is expected in spite of list, month and
    bar chart. `months` are those in which a species is here, 1 … 12. `bar_chart` is a file downloaded from eBird;
    `bar_chart_strength` is how much it counts: 0 not at all, 1 as if people with binoculars saw what the camera sees.
    `rare` is how sure the network must be, alone, of a species that is not to be expected.
    `names_file` has names in another language, see docs; `names_language` is its column.
    With `learn`, visits like corrected ones are corrected too, and what is unlike the birds seen here is not confirmed;
    `familiar` is the share of these birds that are like each other, and 1 finds nothing unlike.
    """

    threshold: Fraction = 0.7
    uncertain: Fraction = 0.35
    per_species: Mapping[str, Fraction] = Field(default_factory=dict)
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    months: Mapping[str, tuple[Month, ...]] = Field(default_factory=dict)
    bar_chart: Path | None = None
    bar_chart_strength: Fraction = 0.5
    rare: Fraction = 0.9
    names_file: Path | None = None
    names_language: str = ""
    learn: bool = True
    familiar: Annotated[float, Field(ge=0.5, le=1.0)] = 0.99

    @field_validator("months")
    @classmethod
    def _some_month(cls, value: Mapping[str, tuple[int, ...]]) -> Mapping[str, tuple[int, ...]]:
        for name, months in value.items():
            if not months:
                raise ValueError(f"'{name}' has no month; write some of 1 … 12, or put it below `deny`")
        return value

    @model_validator(mode="after")
    def _name_on_one_list(self) -> SpeciesSettings:
        twice = sorted(set(self.deny) & (set(self.allow) | set(self.always)))
        if twice:
            raise ValueError(f"has {', '.join(twice)} below `deny` and below `allow` or `always`; keep one")
        if self.names_language and self.names_file is None:
            raise ValueError("has names_language but no names_file")
        return self


class Config(Settings):
    """The whole file."""

    station: StationSettings = StationSettings()
    home: Path = Field(default_factory=lambda: default_home())  # noqa: PLW0108  # defined below
    cameras: Mapping[str, CameraSettings] = Field(default_factory=dict)
    model: ModelSettings = ModelSettings()
    species: SpeciesSettings = SpeciesSettings()
    mqtt: MqttSettings = MqttSettings()
    alerts: tuple[AlertSettings, ...] = ()
    channels: Mapping[str, ChannelSettings] = Field(default_factory=dict)

    @field_validator("cameras")
    @classmethod
    def _camera_keys(cls, value: Mapping[str, CameraSettings]) -> Mapping[str, CameraSettings]:
        for key in value:
            check_slug(key)
        return value

    @model_validator(mode="after")
    def _alerts_agree_with_the_rest(self) -> Config:
        zones = {key: frozenset(camera.zones) for key, camera in self.cameras.items()}
        placed = self.station.latitude is not None and self.station.longitude is not None
        if problems := disagreements(self.alerts, self.channels, zones, placed=placed):
            raise Disagreement(problems)
        return self


def default_home() -> Path:
    """Where data lives when nobody says: /var/lib/birdwatchd for a service or root, else the user's data folder."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/birdwatchd")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "birdwatchd"


def find_config() -> Path | None:
    """The first of ./birdwatchd.yaml and /etc/birdwatchd/birdwatchd.yaml that exists."""
    return next((path for path in SEARCH_PATHS if path.is_file()), None)


def load_config(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file; defaults where `path` is None.

    Raises:
        ConfigError: with one problem line per mistake: file, line, key, remedy.
    """
    if path is None:
        return Config()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", "check the path after --config") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text", "save it as UTF-8") from None
    return parse_config(text, str(path), os.environ if environ is None else environ)


def parse_config(text: str, file: str, environ: Mapping[str, str]) -> Config:
    """Check a configuration given as text. `file` is only for messages.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_problem(file, error)) from None
    if root is None:
        return Config()
    reader = _Reader(file, environ)
    data = reader.read(root, ())
    if not isinstance(data, dict):
        reader.problem(root, "", "is not a mapping; write keys such as `cameras:` at the left margin")
    config: Config | None = None
    if not reader.problems:
        try:
            config = Config.model_validate(data)
        except ValidationError as error:
            for item in error.errors():
                reader.invalid(item["loc"], item["type"], item["msg"], item.get("input"), item.get("ctx") or {})
    if reader.problems or config is None:
        problems = tuple(line for _, line in sorted(set(reader.problems)))
        raise ConfigError("\n".join(problems), problems=problems)
    return config


class _Reader:
    """Turn YAML nodes into plain values, remembering the line of every key."""

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.file = file
        self.environ = environ
        self.lines: dict[tuple[str, ...], int] = {}
        self.problems: list[tuple[int, str]] = []
        self._loader = yaml.SafeLoader("")

    def problem(self, node: yaml.Node, key: str, text: str) -> None:
        self._say(node.start_mark.line + 1, key, text)

    def read(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, str(i))) for i, item in enumerate(node.value)]
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):  # an unknown !tag, or the 13th month
            self.problem(node, ".".join(path), "is not a plain value; put it in quotes")
            return None
        return self._expand(node, path, value) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            where = (*path, key)
            if key in result:
                self.problem(key_node, ".".join(where), "is given twice; keep one")
            self.lines[where] = key_node.start_mark.line + 1
            result[key] = self.read(value_node, where)
        return result

    def _expand(self, node: yaml.Node, path: tuple[str, ...], value: str) -> str:
        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name not in self.environ:
                self.problem(
                    node,
                    ".".join(path),
                    f"needs the environment variable {name}, which is not set; export {name}=… before starting",
                )
            return self.environ.get(name, "")

        text = _VARIABLE.sub(replace, value)
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # escaped as in JSON, or no UTF-8
            self.problem(node, ".".join(path), "holds half a character; write it whole, in UTF-8")
        return text

    def invalid(
        self, loc: tuple[int | str, ...], kind: str, message: str, given: object, context: Mapping[str, Any]
    ) -> None:
        if isinstance(error := context.get("error"), Disagreement):
            for where, text in error.problems:
                self.invalid(where, kind, message, given, {"error": text})
            return
        path = tuple(str(part) for part in loc)
        while path and path not in self.lines:
            path = path[:-1]
        self._say(self.lines.get(path, 1), ".".join(path), _explain(path, kind, message, given, context))

    def _say(self, line: int, key: str, text: str) -> None:
        self.problems.append((line, f"{self.file}:{line}: {key + ' ' if key else ''}{text}"))


def _explain(path: tuple[str, ...], kind: str, message: str, given: object, context: Mapping[str, Any]) -> str:
    """Say in one clause what is wrong with a value and what is allowed, without showing secrets."""
    if kind == "extra_forbidden":
        known = sorted(_allowed_keys(path[:-1]))
        return f"is not a known key; allowed here: {', '.join(known)}"
    if kind == "value_error":
        return str(context.get("error", message))
    if kind == "missing":
        needed = "is missing a required key (a camera needs `source`, a rule `name`)"
        return message.lower().replace("field required", needed)
    whole = kind in ("model_type", "dict_type", "mapping_type")  # an address where keys belong may hold a password
    shown = "" if whole or _is_secret(path) or isinstance(given, dict | list) else f" {given!r}"
    expected = {
        "literal_error": f"use one of {context.get('expected')}",
        "int_parsing": "use a whole number",
        "int_type": "use a whole number",
        "int_from_float": "use a whole number",
        "float_parsing": "use a number",
        "float_type": "use a number",
        "bool_parsing": "use true or false",
        "string_type": "use text; put it in quotes",
        "string_pattern_mismatch": f"use a value that matches {context.get('pattern')}",
        "greater_than_equal": f"use {context.get('ge')} or more",
        "less_than_equal": f"use {context.get('le')} or less",
        "greater_than": f"use more than {context.get('gt')}",
        "model_type": "use keys and values below it",
        "dict_type": "use keys and values below it",
        "tuple_type": "use a list, such as [a, b]",
        "mapping_type": "use keys and values below it",
    }.get(kind, message)
    return f"is{shown or ' not valid'}; {expected}"


def _is_secret(path: tuple[str, ...]) -> bool:
    return any(word in part for part in path for word in ("password", "source", "url", "apprise", "webhook"))


def _allowed_keys(path: tuple[str, ...]) -> set[str]:
    model: type[BaseModel] = Config
    for part in path:
        field = model.model_fields.get(part)
        if field is None:
            continue
        kinds = (field.annotation, *get_args(field.annotation))
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)
    return set(model.model_fields)


def _yaml_problem(file: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    return f"{file}:{line}: is not valid YAML ({getattr(error, 'problem', None) or 'unreadable'}); check indentation"
