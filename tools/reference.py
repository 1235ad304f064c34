"""Write the reference pages on configuration and commands from the code: `python -m tools.reference`.

What a key means is the comment beside it in `config/birdwatchd.yaml`; its type, bounds and default are those of the
classes in `birdwatchd/settings`. What a command does is its own help. `tests/test_docs.py` holds that the
pages are up to date.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from birdwatchd.address import Secret
from birdwatchd.cli.main import app
from birdwatchd.cli.sections import SECTIONS
from birdwatchd.settings.config import Config

__all__ = ["commands_page", "configuration_page", "main"]

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config" / "birdwatchd.yaml"
PAGES = ROOT / "docs" / "reference"
KINDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    timedelta: "time such as 45s, 30m, 2h, 1d",
}


def main() -> None:
    """Write both pages."""
    (PAGES / "configuration.md").write_text(configuration_page(), encoding="utf-8")
    (PAGES / "commands.md").write_text(commands_page(), encoding="utf-8")


def configuration_page() -> str:
    """Every key with its type, default and meaning, a table for each section."""
    comments = _comments(EXAMPLE.read_text(encoding="utf-8"))
    lines = [
        "# Configuration keys",
        "",
        "Written by `python -m tools.reference` from `birdwatchd/settings` and the example, `config/birdwatchd.yaml`.",
        "",
        "One YAML file: `--config FILE`, else `./birdwatchd.yaml`, else `/etc/birdwatchd/birdwatchd.yaml`, else"
        " built-in defaults. Unknown keys are errors. `${NAME}` in any value is replaced by an environment variable,"
        " or by the file `NAME` in `credentials/` beside the configuration ([secrets](../how-to/run-as-a-service.md#"
        "passwords-and-other-secrets))."
        " `password_file`, `apprise_file`, `webhook_file` and `headers_file` read a secret from a file.",
    ]
    top: list[str] = []
    for key, field in Config.model_fields.items():
        section = _section_of(field)
        if section is None:
            top += _row(key, field, comments.get((key,), ""))
            continue
        model, suffix = section
        rows = [_row(name, inner, comments.get((key, name), "")) for name, inner in model.model_fields.items()]
        about = comments.get((key,), "")
        lines += ["", f"## `{key}{suffix}`", "", *([_sentence(about), ""] if about else []), *_HEAD]
        lines += [line for row in rows for line in row]
    return "\n".join([*lines, "", "## Top level", "", *_HEAD, *top, ""])


_HEAD = ["| key | values | default | meaning |", "|---|---|---|---|"]


def _row(key: str, field: FieldInfo, comment: str) -> list[str]:
    return [f"| `{key}` | {_values(field)} | {_default(key, field)} | {_sentence(comment)} |"]


def _sentence(comment: str) -> str:
    return comment.replace("|", "\\|")


def _section_of(field: FieldInfo) -> tuple[type[BaseModel], str] | None:
    """The class of a section, and what follows its key: nothing, a name of one's own, or a list."""
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind, ""
    inner = [one for one in get_args(kind) if isinstance(one, type) and issubclass(one, BaseModel)]
    if not inner:
        return None
    return inner[0], ".<name>" if get_origin(kind) in (dict, Mapping, typing.Mapping) else "[]"


def _default(key: str, field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if key == "home":
        return "`/var/lib/birdwatchd` for root and services, else the user's data folder"
    value = field.default if field.default is not PydanticUndefined else field.get_default(call_default_factory=True)
    if value in (None, "", (), {}) or isinstance(value, Secret):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, timedelta):
        return f"`{value.total_seconds():g}s`" if value.total_seconds() < 86400 else f"`{value.days}d`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _values(field: FieldInfo) -> str:
    return _bounded(field.annotation, field.metadata)


def _bounded(kind: Any, metadata: Sequence[Any]) -> str:
    bounds = {name: getattr(one, name) for one in metadata for name in ("ge", "gt", "le", "lt") if hasattr(one, name)}
    low = f"from {bounds['ge']:g}" if "ge" in bounds else f"above {bounds['gt']:g}" if "gt" in bounds else ""
    high = f"to {bounds['le']:g}" if "le" in bounds else f"below {bounds['lt']:g}" if "lt" in bounds else ""
    return " ".join(filter(None, [_kind(kind), low, high]))


def _kind(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if kind in KINDS:
        return KINDS[kind]
    if origin is Literal:
        return ", ".join(f"`{str(one).lower() if isinstance(one, bool) else one}`" for one in inner)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{one.value}`" for one in kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_alternative(one) for one in inner if one is not type(None)))
    if origin is typing.Annotated:
        return _kind(inner[0])
    if origin is tuple:
        return f"list of {_plural(_kind(inner[0]))}"
    if origin is not None and len(inner) == 2:
        return f"{_kind(inner[0])}: {_kind(inner[1])}, as many as you like"
    return {"Source": "address or path", "Secret": "text (secret)", "Window": "stretch of the day"}.get(
        getattr(kind, "__name__", ""), "text"
    )


def _alternative(kind: Any) -> str:
    """One of several kinds of values, each of which may have bounds of its own."""
    if get_origin(kind) is not typing.Annotated:
        return _kind(kind)
    inner, *about = get_args(kind)
    return _bounded(inner, [part for one in about for part in getattr(one, "metadata", [one])])


def _plural(kind: str) -> str:
    if kind == "list of numbers":
        return "points [x, y]"
    if kind == "list of points [x, y]":
        return "polygons"
    if kind.startswith("stretch"):
        return "stretches of the day"
    return {"text": "texts", "number": "numbers", "whole number": "whole numbers"}.get(kind, kind)


_KEY = re.compile(
    r"^(?P<indent> *)(?P<off># +)?(?P<item>- )?(?P<key>[a-z_][a-z0-9_]*):(?P<value>[^#]*?)(?:\s+#\s*(?P<comment>.*))?$"
)


def _comments(text: str) -> dict[tuple[str, ...], str]:
    """The comment of each key of the example, by section and key; a camera's or channel's own name is left out."""
    found: dict[tuple[str, ...], str] = {}
    section = ""
    current: tuple[str, ...] = ("",)
    for line in text.splitlines():
        more = re.fullmatch(r" {20,}# ?(.*)", line)
        match = _KEY.match(line)
        if more and current[0]:
            found[current] = f"{found.get(current, '')} {more[1]}".strip()
            continue
        if match is None:
            continue
        indent = len(match["indent"])
        if indent == 0 and not match["off"]:
            section, current = match["key"], (match["key"],)
        else:
            current = (section, match["key"])
        if match["comment"] and current not in found:
            found[current] = match["comment"].strip()
    return found


def commands_page() -> str:
    """Every command with its arguments, options and example, in the sections of `--help`."""
    lines = [
        "# Commands",
        "",
        "Written by `python -m tools.reference` from `birdwatchd/cli`.",
        "",
        "`python -m birdwatchd` is the same as `birdwatchd`. Results go to standard output, everything else to standard"
        " error.",
        "",
        "| exit status | meaning |",
        "|---|---|",
        "| 0 | done; for `scan` also when some files could not be read (they are counted and named) |",
        "| 1 | failed at run time; for `doctor` also when something is wrong |",
        "| 2 | wrong usage or configuration |",
        "| 3 | the database is damaged, or was written by a newer birdwatchd; a restart does not help |",
        "| 130 | a `scan` that was interrupted; run it again to continue |",
    ]
    found = dict(_commands(typer.main.get_command(app)))
    for section in SECTIONS:
        lines += ["", f"## {section}"]
        for name, (panel, command) in found.items():
            if panel == section:
                lines += _command(name, command)
    return "\n".join(lines) + "\n"


def _commands(group: Any, prefix: str = "", panel: str | None = None) -> Iterator[tuple[str, tuple[str | None, Any]]]:
    for name in group.list_commands(None):
        command = group.commands[name]
        mine = panel or getattr(command, "rich_help_panel", None)
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ", mine)
        else:
            yield f"{prefix}{name}", (mine, command)


def _command(name: str, command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([f"birdwatchd {name}", *(_metavar(p) for p in arguments)])
    lines = [
        "",
        f"### `{usage}`",
        "",
        re.sub(r"\s*\n\s*\n\s*", "\n\n", (command.help or "").strip()),
        "",
        f"    {command.epilog}",
        "",
    ]
    lines += ["| option | meaning |", "|---|---|"]
    lines += [f"| `{_metavar(p)}` | {p.help} |" for p in arguments]
    for p in options:
        names = ", ".join(p.opts)
        value = "" if getattr(p, "is_flag", False) else f" {p.metavar or 'N'}"
        shown = "" if p.default in (None, False, "") or callable(p.default) else f" [default: {p.default}]"
        lines.append(f"| `{names}{value}` | {p.help}{shown} |")
    return lines


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


if __name__ == "__main__":
    main()
