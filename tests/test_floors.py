"""Hold the architecture: imports go down, heavy libraries stay at home, `--help` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "birdwatchd"

FLOORS = {
    "errors": 0,
    "records": 0,
    "metrics": 0,
    "address": 0,
    "settings": 1,
    "config": 2,
    "arguments": 3,
    "flow": 2,
    "wire": 2,
    "camera": 3,
    "species": 3,
    "store": 3,
    "alerts": 4,
    "stages": 5,
    "learning": 5,
    "likeness": 5,
    "daemon": 6,
    "scan": 7,  # a second whole beside the daemon; it shares the daemon's way of building the stages
    "demo": 7,
    "check": 7,
    "rehearsal": 7,
    "tune": 7,
    "reviews": 7,
    "similar": 7,
    "calibrate": 7,
    "why": 7,
    "relabel": 8,
    "terminal": 6,
    "cli": 9,
    "__main__": 10,
}
HOMES = {
    "av": {"camera"},
    "cv2": {"camera"},
    "torch": {"species"},
    "torchvision": {"species"},
    "birder": {"species"},
    "safetensors": {"species"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "paho": {"alerts"},
    "apprise": {"alerts"},
    "astral": {"alerts"},
    "amqtt": {"demo"},
    "yaml": {"config"},
    "typer": {"cli"},
}
# The simulated camera plays the part of another device; it is not on the daemon's side of the wire.
EXCEPTIONS = {("demo/feeder.py", "av")}
FORBIDDEN_NAMES = {"util", "utils", "common", "helpers", "manager", "const", "types"}


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Dotted names of everything a file imports, also inside functions; not what is only for type checking."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    """One direction of knowledge is what lets a newcomer change one part without reading the others."""
    if path == PACKAGE / "__init__.py":
        return
    part = part_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "birdwatchd" or len(parts) < 2 or parts[1] not in FLOORS or parts[1] == part:
            continue
        assert FLOORS[parts[1]] < FLOORS[part], (
            f"{path.relative_to(PACKAGE)} (floor {FLOORS[part]}) imports {name} (floor {FLOORS[parts[1]]})"
        )


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_at_home(path: Path) -> None:
    """A library with one home can be replaced, and its exceptions are translated at one border."""
    relative = path.relative_to(PACKAGE).as_posix()
    for name in imports(path):
        library = name.split(".")[0]
        if library in HOMES and (relative, library) not in EXCEPTIONS:
            assert part_of(path) in HOMES[library], f"{relative} imports {library}"


def test_every_part_has_its_floor_and_an_honest_name() -> None:
    """A new folder must say where it stands; a drawer called `util` never does."""
    for path in modules():
        if path == PACKAGE / "__init__.py":
            continue
        assert part_of(path) in FLOORS
        assert path.stem not in FORBIDDEN_NAMES


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_opens_with_its_reason(path: Path) -> None:
    """The first sentence of a file is what a newcomer reads."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_only_the_crew_catches_everything() -> None:
    """A blanket except hides the bug that will lose somebody's visits."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                names = ast.unparse(node.type) if node.type else "everything"
                if names in {"everything", "Exception", "BaseException"}:
                    assert path.name == "flow.py", f"{path.relative_to(PACKAGE)}:{node.lineno} catches {names}"


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("birdwatchd.cli", ("torch", "birder", "cv2", "av", "sqlalchemy", "alembic", "paho", "apprise", "astral")),
        ("birdwatchd.daemon", ("torch", "birder", "cv2", "av", "apprise", "astral")),
        ("birdwatchd.likeness", ("torch", "birder", "cv2", "av")),
        ("birdwatchd.similar", ("torch", "birder", "cv2", "av")),
        ("birdwatchd.camera.worker", ("torch", "birder", "sqlalchemy", "paho", "typer", "rich")),
        ("birdwatchd.camera.process", ("torch", "birder", "cv2", "av")),
    ],
)
def test_nobody_pays_for_libraries_they_do_not_use(module: str, unwanted: tuple[str, ...]) -> None:
    """`--help` must answer at once, and a camera process must be small: torch alone is hundreds of MB."""
    code = f"import sys, {module}; print([m for m in {unwanted!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
