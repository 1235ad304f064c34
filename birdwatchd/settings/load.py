"""Read the one YAML file into typed, frozen settings, and say precisely what is wrong with it.

Read once at start: a restart takes seconds and loses nothing, so there is no hot reload. `${NAME}` in any value reads
the environment; `password_file` reads a file (systemd credentials).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from birdwatchd.errors import ConfigError
from birdwatchd.settings.agreement import Disagreement
from birdwatchd.settings.config import Config

__all__ = ["find_config", "load_config", "parse_config"]

SEARCH_PATHS = (Path("birdwatchd.yaml"), Path("/etc/birdwatchd/birdwatchd.yaml"))
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


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
