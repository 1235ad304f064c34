"""Read the one YAML file into typed, frozen settings, and say precisely what is wrong with it.

Read once at start: a restart takes seconds and loses nothing, so there is no hot reload. `${NAME}` in any value reads
the environment or a credential (`birdwatchd.settings.variables`); `password_file` reads a file.
"""

from __future__ import annotations

import grp
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import yaml
from pydantic import BaseModel, ValidationError

from birdwatchd.errors import ConfigError, shortened
from birdwatchd.settings.agreement import Disagreement
from birdwatchd.settings.config import Config
from birdwatchd.settings.variables import CREDENTIALS, Variables
from birdwatchd.text_file import NotText, read_text

__all__ = ["find_config", "load_config", "parse_config"]

SEARCH_PATHS = (Path("birdwatchd.yaml"), Path("/etc/birdwatchd/birdwatchd.yaml"))
UNSET = "unset"  # stands for an environment variable that is not there and that nobody needs
MOST_BYTES = 1_000_000
MOST_DEPTH = 20  # levels of keys and lists; no setting has more than six
MOST_VALUES = 100_000  # with every `*alias` counted as often as it stands there
MOST_PROBLEMS = 50  # lines that are said at once
TOO_DEEP = "a configuration has a few levels of keys; look for a bracket that is not closed, or an *alias within itself"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

_USER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)@")  # user and password of an address
_QUERY = re.compile(r"https?://[^?#]*\?", re.IGNORECASE)
_PARAMETER = re.compile(r"(?<=[?&])[^=&#]*=(\$\{\w+\})(?=&|#|$)")  # one that is a variable and nothing else
_FILE = re.compile(r"file://(.*)", re.IGNORECASE)
MERGE = "tag:yaml.org,2002:merge"
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_VARIABLE_TAGS = ("!secret", "!env_var", "!env", "!ENV", "!vault")
_INCLUDES = "!include"  # and !include_dir_list, !include_dir_named, …


def find_config() -> Path | None:
    """The first of ./birdwatchd.yaml and /etc/birdwatchd/birdwatchd.yaml that exists.

    The second one is found also where this user may not look: built-in defaults in its place would be a surprise.
    """
    return next((path for path in SEARCH_PATHS if _is_there(path)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # `sudo -u birdwatchd` leaves one in a folder of somebody else's
        return path.is_absolute()


def load_config(path: Path | None, environ: Mapping[str, str] | None = None, *, needs_secrets: bool = True) -> Config:
    """Read and check a configuration file; defaults where `path` is None.

    Args:
        needs_secrets: False for who only reads what is stored: a variable that is not set is then no mistake.

    Raises:
        ConfigError: with one problem line per mistake: file, line, key, remedy.
    """
    if path is None:
        return Config()
    try:
        text = read_text(path, most_bytes=MOST_BYTES)
    except NotText as problem:
        raise ConfigError(f"{path}: {problem}", _hint(path)) from None
    given = os.environ if environ is None else environ
    if not needs_secrets:
        return parse_config(text, str(path), given, missing=UNSET)
    return parse_config(text, str(path), Variables(given, path))


def _hint(path: Path) -> str:
    """What to do about a configuration that cannot be read."""
    try:
        owner = path.parent.stat()
        barred = not os.access(path, os.R_OK, effective_ids=True) and (
            not os.access(path.parent, os.X_OK, effective_ids=True) or path.exists()
        )
        group = grp.getgrgid(owner.st_gid).gr_name
    except (OSError, KeyError):
        return "check the path after --config"
    if barred and owner.st_gid:
        return f"it is for the service: begin with `sudo -u {group} birdwatchd`, or give --config"
    return "check the path after --config"


def parse_config(text: str, file: str, environ: Mapping[str, str], *, missing: str | None = None) -> Config:
    """Check a configuration given as text. `file` is only for messages.

    Args:
        missing: stands for environment variables that are not set; None where these are a mistake.

    Raises:
        ConfigError: as `load_config`.
    """
    reader = _Reader(file, environ, missing)
    try:
        root = yaml.compose(text, Loader=_ShallowLoader)
        data = {} if root is None else reader.read(root, ())
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_problem(file, error)) from None
    except RecursionError:
        raise ConfigError(f"{file}:1: is nested too deeply", TOO_DEEP) from None
    if root is None:
        return Config()
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
        if (more := len(problems) - MOST_PROBLEMS) > 0:
            problems = (*problems[:MOST_PROBLEMS], f"{file}: and {more} more problems; mend these first")
        raise ConfigError("\n".join(problems), problems=problems)
    return config


class _ShallowLoader(yaml.SafeLoader):
    """Gives up where brackets are nested too deeply; PyYAML's time grows with the square of the depth."""

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803  # PyYAML's name
        if self.flow_level > MOST_DEPTH:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass)


class _Reader:
    """Turn YAML nodes into plain values, remembering the line of every key."""

    def __init__(self, file: str, environ: Mapping[str, str], missing: str | None) -> None:
        self.file = file
        self.environ = environ
        self._missing = missing
        self.lines: dict[tuple[str, ...], int] = {}
        self.problems: list[tuple[int, str]] = []
        self._loader = yaml.SafeLoader("")
        self._values = 0
        self._merging: list[yaml.Node] = []

    def problem(self, node: yaml.Node, key: str, text: str) -> None:
        self._say(node.start_mark.line + 1, key, text)

    def read(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._values += 1
        if len(path) > MOST_DEPTH or self._values > MOST_VALUES:
            what = "is nested too deeply" if len(path) > MOST_DEPTH else "holds too many values"
            raise ConfigError(
                f"{self.file}:{node.start_mark.line + 1}: {shortened(path[0]) if path else ''} {what}", TOO_DEEP
            )
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN:
            self.problem(node, ".".join(path), _about_tag(node.tag))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, str(i))) for i, item in enumerate(node.value)]
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):  # an unknown !tag, or the 13th month
            self.problem(node, ".".join(path), _about_tag(node.tag))
            return None
        return self._expand(node, path, value) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                self._merge(value_node, path, result)
        merged = set(result)
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key_node.tag == MERGE:
                continue
            where = (*path, key)
            if key in result and key not in merged:
                self.problem(key_node, ".".join(where), "is given twice; keep one")
            merged.discard(key)
            self.lines[where] = key_node.start_mark.line + 1
            result[key] = self.read(value_node, where)
        return result

    def _merge(self, node: yaml.Node, path: tuple[str, ...], result: dict[str, Any]) -> None:
        """Take over the keys of `<<: *anchor`, or of a list of such; of several the first one counts."""
        for part in node.value if isinstance(node, yaml.SequenceNode) else (node,):
            if not isinstance(part, yaml.MappingNode):
                self.problem(part, ".".join((*path, "<<")), "takes over keys from an *alias of other keys")
            elif part in self._merging:
                self.problem(node, ".".join((*path, "<<")), "takes over its own keys; name the &anchor of another one")
            else:
                self._merging.append(part)
                for key, value in self.read(part, path).items():
                    result.setdefault(key, value)
                self._merging.pop()

    def _expand(self, node: yaml.Node, path: tuple[str, ...], value: str) -> str:
        quoted = _literal_parts(value)

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name not in self.environ and self._missing is None:
                self.problem(
                    node,
                    ".".join(path),
                    f"needs the environment variable {name}, which is not set; export {name}=… before starting, or"
                    f" write the value to the file {Path(self.file).parent / CREDENTIALS / name}",
                )
            given = self.environ.get(name, self._missing or "")
            safe = next((safe for begin, end, safe in quoted if begin <= match.start() < end), None)
            return given if safe is None else quote(given, safe=safe)

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
        where = f"{shortened(key)} " if key else ""
        self.problems.append((line, f"{self.file}:{line}: {where}{shortened(text)}"))


def _literal_parts(value: str) -> list[tuple[int, int, str]]:
    """Where in an address a variable is taken as it is, @ and % and all: from, to, and what needs no quoting there."""
    if path := _FILE.match(value):
        return [(*path.span(1), "/")]
    query = _QUERY.match(value)
    parameters = _PARAMETER.finditer(value, query.end()) if query else ()
    return [(*match.span(1), "") for match in (_USER.match(value), *parameters) if match]


def _about_tag(tag: str) -> str:
    """What to do about a value with a tag that nothing here reads."""
    if not tag.startswith("!"):
        return "is not a plain value; put it in quotes"
    if tag in _VARIABLE_TAGS:
        of = "Home Assistant's way" if tag in _VARIABLE_TAGS[:2] else "another program's way"
        return f"has {tag}, which is {of}; write ${{NAME}} here and set the environment variable NAME"
    if tag.startswith(_INCLUDES):
        return f"has {tag}, which is not read here; birdwatchd has one file"
    return f"has the tag {tag}, which is not read here; write the value without it, in quotes"


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
    what = shortened(getattr(error, "problem", None) or "unreadable")
    return f"{file}:{line}: is not valid YAML ({what}); check indentation"
