"""Write the page on reports from the field from the tests that hold them: `python -m tools.world`.

Each test in `tests/world`, and each elsewhere whose docstring has a `Must`, is one report: a small input, and what must
happen. Its docstring is a row:

    What was given, and what happened at first.

    Must: what has to happen; without it, in `tests/world`, the test's name says so.
    Now: what happens now, where a line or a figure says more than "this does".
    Report: an address, where the report is public; several lines of this are several reports.

A test marked `xfail` is told as not done, with its reason. `tests/test_docs.py` holds that the page is up to date.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["main", "world_page"]

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
WORLD = TESTS / "world"
PAGE = ROOT / "docs" / "measurements" / "world.md"
INTRODUCTION = """\
# Reports from the field

Written by `python -m tools.world` from the tests in `tests/world`, and from those elsewhere that rebuild a report.

What people have given to programs of this kind, rebuilt as small inputs. Each row is a test, which makes its input
itself and runs with all others."""


@dataclass(frozen=True)
class Row:
    """One report, as the docstring of its test tells it."""

    test: str
    given: str
    must: str
    now: str
    reports: tuple[str, ...]


def main() -> None:
    """Write the page."""
    PAGE.write_text(world_page(), encoding="utf-8")


def world_page() -> str:
    """A section for each file of tests, a row for each test; those of `tests/world` first."""
    lines = [INTRODUCTION]
    paths = sorted(TESTS.rglob("test_*.py"), key=lambda path: (path.parent != WORLD, path))
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        rows = [_line(_row(test)) for test in _tests(tree) if path.parent == WORLD or _has_must(test)]
        if not rows:
            continue
        title = (ast.get_docstring(tree) or path.stem).partition("\n\n")[0]
        lines += ["", f"## {_one_line(title).rstrip('.')}", ""]
        lines += [f"In `{path.relative_to(ROOT).as_posix()}`:", ""]
        lines += ["| given | must happen | happens now | test |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _tests(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def _has_must(test: ast.FunctionDef) -> bool:
    return re.search("^Must:", ast.get_docstring(test) or "", re.MULTILINE) is not None


def _row(test: ast.FunctionDef) -> Row:
    """Raises ValueError where a test does not tell its report."""
    parts = re.split(r"^(Must|Now|Report): *", ast.get_docstring(test) or "", flags=re.MULTILINE)
    given, labelled = _one_line(parts[0]), list(zip(parts[1::2], map(_one_line, parts[2::2]), strict=True))
    must = " ".join(text for label, text in labelled if label == "Must")
    now = " ".join(text for label, text in labelled if label == "Now")
    if not given:
        raise ValueError(f"{test.name}: its docstring has to tell the report, as somebody would who has the problem")
    missing = _not_done(test)
    return Row(
        test.name,
        given,
        must or f"{test.name.removeprefix('test_').replace('_', ' ').capitalize()}.",
        f"**not done**: {missing}" if missing else now or "this does",
        tuple(text for label, text in labelled if label == "Report"),
    )


def _not_done(test: ast.FunctionDef) -> str:
    """The reason of its mark `xfail`; empty where it has none."""
    for mark in test.decorator_list:
        if "xfail" in ast.unparse(mark):
            reasons = [k.value for k in mark.keywords if k.arg == "reason"] if isinstance(mark, ast.Call) else []
            return str(ast.literal_eval(reasons[0])) if reasons else "no reason given"
    return ""


def _line(row: Row) -> str:
    links = "".join(f" ([report]({address}))" for address in row.reports)
    cells = (row.given + links, row.must, row.now, f"`{row.test}`")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
