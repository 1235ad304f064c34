"""Hold the vocabulary: names are the field's words, seconds end in `_s`, and private words that went stay away."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "birdwatchd"

# Names that were replaced by the field's terms, by the folder in which they must not come back.
GONE = {
    folder: set(words.split())
    for folder, words in re.findall(
        r"^([\w./]+): (.*(?:\n  .*)*)", Path(__file__).with_name("words_that_went.txt").read_text(), re.MULTILINE
    )
}
# Names of a time or a span: where they are numbers they end in `_s`, in every folder.
_TIME = re.compile(
    r"(^|_)(at|now|since|until|before|after|due|begun|began|started|deadline|duration|timeout|delay|interval|age|lag)$"
)
_CLOCK = re.compile(r"\b(monotonic|total_seconds|perf_counter)\(\)\)*$|(^|else )[\w.]*monotonic\(\) [+-] ")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module defines or uses, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value.lineno
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def below(folder: str, path: Path) -> bool:
    return folder == "everywhere" or path.relative_to(PACKAGE).as_posix().startswith(folder)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_private_words_stay_away(path: Path) -> None:
    """Somebody of the field should have guessed the name."""
    gone = {word for folder, words in GONE.items() if below(folder, path) for word in words}
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for name, line in names(ast.parse(path.read_text()))
        if name in gone
    ]
    assert path.stem not in gone
    assert found == []


def numbers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that is declared a float or set to a reading of a clock, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            name, kind = node.arg, ast.unparse(node.annotation)
        elif isinstance(node, ast.AnnAssign):
            name, kind = ast.unparse(node.target).split(".")[-1], ast.unparse(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns:
            name, kind = node.name, ast.unparse(node.returns)
        elif isinstance(node, ast.Assign) and _CLOCK.search(ast.unparse(node.value)):
            name, kind = ast.unparse(node.targets[0]).split(".")[-1], "float"
        else:
            continue
        if kind.startswith("float"):
            yield name, node.lineno


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_seconds_say_so(path: Path) -> None:
    """`at` is a datetime; a float that is a time or a span ends in `_s`."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for name, line in numbers(ast.parse(path.read_text()))
        if _TIME.search(name)
    ]
    assert found == []
