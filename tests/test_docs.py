"""Documentation that is checked: links lead somewhere, and the reference pages have everything that they promise."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from birdwatchd.monitor.catalogue import CATALOGUE
from birdwatchd.records import Rank, State, Verdict, Visit
from birdwatchd.store import schema
from tools.reference import commands_page, configuration_page
from tools.world import world_page

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    """A dead link is the end of somebody's evening."""
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_that_a_page_names_exist(page: Path) -> None:
    """A sign to a module that has moved sends a newcomer through the whole package."""
    paths = [f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    named = set(re.findall(r"`([a-z0-9_/]+\.py)\b", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in paths)] == []


def test_every_picture_is_linked_and_small() -> None:
    """`python -m tools.pictures` makes them; one that no page shows, or that loads slowly, is of no use."""
    pictures = sorted((DOCS / "pictures").iterdir())
    linked = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    }
    maker = (ROOT / "tools" / "pictures.py").read_text(encoding="utf-8")
    assert [picture.name for picture in pictures if f'"{picture.name}": _' not in maker] == []
    assert [picture.name for picture in pictures if picture.resolve() not in linked] == []
    assert [picture.name for picture in pictures if picture.stat().st_size > 300_000] == []


def test_every_page_is_in_the_index() -> None:
    """What the index does not name, nobody finds."""
    index = DOCS / "README.md"
    named = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", index.read_text(encoding="utf-8"))}
    assert [
        str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page != index and page.resolve() not in named
    ] == []


@pytest.mark.parametrize(
    ("name", "made"),
    [("configuration", configuration_page), ("commands", commands_page)],
    ids=["configuration", "commands"],
)
def test_generated_pages_are_up_to_date(name: str, made: object) -> None:
    """Run `python -m tools.reference` after a change of settings or commands."""
    assert callable(made)
    assert (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8") == made()


def test_the_page_of_reports_is_up_to_date() -> None:
    """Run `python -m tools.world` after a change in `tests/world`, or of a docstring with `Must:`."""
    assert (DOCS / "measurements" / "world.md").read_text(encoding="utf-8") == world_page()


def test_every_key_of_the_configuration_says_what_it_means() -> None:
    """The meaning comes from the comment in the example; a key without one has an empty cell."""
    assert re.findall(r"^\| (`\w+`) \|.*\|\s*\|$", configuration_page(), re.MULTILINE) == []


def test_the_page_on_the_database_has_every_table_and_column() -> None:
    """People write queries; a column that is not described is guessed at."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", (DOCS / "reference" / "database.md").read_text(), re.MULTILINE))
    assert set(rows) == set(schema.metadata.tables)
    for name, table in schema.metadata.tables.items():
        assert [column.name for column in table.columns if f"`{column.name}`" not in rows[name]] == [], name


def test_the_page_on_metrics_has_every_metric() -> None:
    """A number without a meaning helps nobody."""
    page = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`(\w+)`", page))
    used = set()
    for path in (ROOT / "birdwatchd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("add", "set")
                and "metrics" in ast.unparse(node.func.value).casefold()
                and isinstance(node.args[0], ast.Constant)
            ):
                used.add(node.args[0].value)
    assert len(used) > 20
    assert used - described == set()
    assert used - set(CATALOGUE) == set(), "say in birdwatchd/monitor/catalogue.py what it means"
    assert set(CATALOGUE) - described == set()
    assert [name for name, meaning in CATALOGUE.items() if name.endswith("_total") != (meaning.kind == "counter")] == []


def test_the_page_on_json_has_every_key() -> None:
    """The keys of a visit are a promise to other programs."""
    verdict = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.0, ())
    at = datetime(2026, 5, 1, tzinfo=UTC)
    keys = set(Visit("v", "c", 1, at, at, verdict, 0, 1, None, "m@1").to_json())
    described = set(re.findall(r"`(\w+)`", (DOCS / "reference" / "visit-json.md").read_text(encoding="utf-8")))
    assert keys - described == set()
