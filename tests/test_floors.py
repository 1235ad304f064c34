"""Hold the architecture: imports go down, heavy libraries stay at home, `--help` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "birdwatchd"

# A part may import those on lower floors.
FLOORS = {
    "errors": 0,
    "lazy": 0,
    "records": 0,
    "metrics": 0,
    "address": 0,
    "text_file": 0,
    "whole_file": 0,
    "clock": 0,
    "disk": 0,
    "seen_part": 0,
    "settings": 1,
    "flow": 2,
    "service": 3,
    "monitor": 3,
    "camera": 3,
    "species": 3,
    "store": 3,
    "mqtt": 4,
    "search": 4,
    "alerts": 5,
    "channels": 5,
    "stages": 6,
    "daemon": 7,
    "commands": 8,
    "demo": 9,
    "install": 9,
    "web": 9,
    "testing": 10,
    "cli": 11,
    "__main__": 12,
}
# The same within a part, for its sub-folders and the modules beside them.
ROOMS = {
    "cli": {
        "options": 0,
        "sections": 0,
        "selftest_child": 0,
        "home": 1,
        "reviews": 1,
        "rules": 1,
        "service": 1,
        "setup": 1,
        "visits": 1,
        "main": 2,
    },
    "camera": {
        "blindness": 0,
        "liveliness": 0,
        "mask": 0,
        "neighbours": 0,
        "view": 0,
        "motion": 1,
        "capture": 1,
        "frame_clock": 1,
        "tracking": 2,
        "clips": 2,
        "sampling": 3,
        "crops": 3,
        "best_shot": 4,
        "live_view": 4,
        "visit": 5,
        "still": 5,
        "crop_source": 6,
        "departures": 7,
        "place": 8,
        "observer": 8,
        "process": 9,
        "finished_visits": 10,
        "tuning": 10,
    },
    "species": {
        "class_names": 0,
        "old_names": 0,
        "published": 0,
        "taxonomy": 1,
        "names": 2,
        "learned": 2,
        "network": 3,
        "verdict": 3,
        "image_classifier": 4,
    },
    "web": {
        "cookies": 0,
        "language": 1,
        "names": 0,
        "pictures": 0,
        "words": 2,
        "live": 0,
        "access": 2,
        "jobs": 0,
        "looks": 0,
        "asked": 2,
        "home": 1,
        "render": 3,
        "routes": 4,
        "app": 5,
        "server": 6,
        "confined": 6,
        "child": 7,
        "command": 7,
    },
    "demo": {
        "drawing": 0,
        "cameras": 1,
        "broker": 1,
        "still": 2,
        "messages": 1,
        "load": 2,
        "schedule": 3,
        "comparison": 3,
        "verdict": 4,
        "summary": 5,
        "run": 6,
    },
}
MOST_FILES = 18  # Python files in one folder: more cannot be taken in at a glance
HOMES = {
    "av": {"camera"},
    "cv2": {"camera"},
    "torch": {"species"},
    "torchvision": {"species"},
    "birder": {"species"},
    "safetensors": {"species"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "paho": {"mqtt"},
    "apprise": {"channels"},
    "astral": {"alerts"},
    "prometheus_client": {"monitor"},
    "amqtt": {"demo"},
    "yaml": {"settings"},
    "typer": {"cli"},
    "babel": {"web"},
    "fastapi": {"web"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "jinja2": {"web"},
    "argon2": {"web"},
}
# The simulated camera plays the part of another device; it is not on the daemon's side of the wire.
EXCEPTIONS = {("demo/cameras/feeder.py", "av")}
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


def room_of(parts: tuple[str, ...]) -> str | None:
    """The room within a part that has rooms, of a module's path or dotted name below the package."""
    return parts[1].removesuffix(".py") if parts[0] in ROOMS and len(parts) > 1 else None


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only_within_a_part(path: Path) -> None:
    """What holds between parts holds between the rooms of one: downward, never sideways."""
    part, room = part_of(path), room_of(path.relative_to(PACKAGE).parts)
    if room is None or room == "__init__":
        return
    ranks = ROOMS[part]
    for name in imports(path):
        parts = tuple(name.split("."))[1:]
        if len(parts) < 2 or parts[0] != part or parts[1] not in ranks or parts[1] == room:
            continue
        assert ranks[parts[1]] < ranks[room], f"{path.relative_to(PACKAGE)} imports {name}, which is not below it"


def test_no_circle_of_imports() -> None:
    """Modules of one folder may import each other, but never in a circle."""
    known = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in modules()}
    wanted = {name: {other for other in imports(p) if other in known and other != name} for name, p in known.items()}
    done: set[str] = set()
    while ready := {name for name, others in wanted.items() if name not in done and others <= done}:
        done |= ready
    assert sorted(set(wanted) - done) == []


def test_no_folder_is_too_full() -> None:
    """A newcomer should see a whole folder at a glance."""
    folders = {path.parent for path in modules()}
    full = {str(f.relative_to(PACKAGE)): len(list(f.glob("*.py"))) for f in folders}
    assert {name: count for name, count in full.items() if count > MOST_FILES} == {}


def test_the_supervisor_of_a_camera_loads_no_decoder() -> None:
    """It runs in the main process: whatever a neighbour imports (av, cv2) would be loaded there."""
    code = "import sys, birdwatchd.camera.process.supervisor; print({'av', 'cv2', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


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
        room = room_of(path.relative_to(PACKAGE).parts)
        assert room in (None, "__init__") or room in ROOMS[part_of(path)]
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
        (
            "birdwatchd.cli",
            (
                "numpy",
                "torch",
                "birder",
                "cv2",
                "av",
                "sqlalchemy",
                "alembic",
                "paho",
                "apprise",
                "astral",
                "prometheus_client",
                "fastapi",
                "uvicorn",
                "jinja2",
            ),
        ),
        ("birdwatchd.daemon", ("torch", "birder", "cv2", "av", "apprise", "astral")),
        ("birdwatchd.monitor.build", ("numpy", "torch", "birder", "cv2", "av", "sqlalchemy", "paho")),
        ("birdwatchd.commands.status", ("torch", "birder", "cv2", "av")),
        ("birdwatchd.search.nearest", ("torch", "birder", "cv2", "av")),
        ("birdwatchd.commands.similar", ("torch", "birder", "cv2", "av")),
        ("birdwatchd.camera.process.worker", ("torch", "birder", "sqlalchemy", "paho", "typer", "rich")),
        ("birdwatchd.camera.process.supervisor", ("torch", "birder", "cv2", "av")),
        ("birdwatchd.camera.process.scan_process", ("torch", "birder", "cv2", "av")),
        ("birdwatchd.commands.tune", ("torch", "birder", "cv2", "av")),
        ("birdwatchd.camera", ("numpy", "torch", "birder", "cv2", "av", "sqlalchemy", "paho")),
        ("birdwatchd.camera.finished_visits", ("torch", "birder", "sqlalchemy", "paho", "typer", "rich")),
        ("birdwatchd.species", ("numpy", "torch", "birder", "cv2", "av", "sqlalchemy", "paho")),
        ("birdwatchd.store", ("numpy", "torch", "birder", "cv2", "av", "sqlalchemy", "alembic", "paho")),
        ("birdwatchd.web.child", ("torch", "birder", "cv2", "av", "apprise")),
        ("birdwatchd.stages.page_process", ("numpy", "sqlalchemy", "fastapi", "uvicorn", "jinja2")),
        ("birdwatchd.mqtt", ("numpy", "torch", "birder", "cv2", "av", "sqlalchemy", "paho")),
    ],
)
def test_nobody_pays_for_libraries_they_do_not_use(module: str, unwanted: tuple[str, ...]) -> None:
    """`--help` must answer at once, and a camera process must be small: torch alone is hundreds of MB."""
    code = f"import sys, {module}; print([m for m in {unwanted!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda p: str(p.relative_to(TESTS)))
def test_no_test_imports_another_test(path: Path) -> None:
    """What two tests need is in tests/support; a test that is moved or deleted breaks no other one."""
    tested = [name for name in imports(path) if name.split(".")[0] == "tests"]
    assert [
        name for name in tested if name not in ("tests", "tests.support") and not name.startswith("tests.support.")
    ] == []


def test_nobody_reads_the_tables_of_names_who_needs_none() -> None:
    """11,131 species take a tenth of a second: not at `--help`, not in a camera process, not at an import."""
    code = (
        "import sys, birdwatchd.cli, birdwatchd.camera.process.worker"
        "\nprint('birdwatchd.species.taxonomy' in sys.modules)"
        "\nimport birdwatchd.daemon; from birdwatchd.species.taxonomy import bundled_taxonomy as table"
        "\nprint(table.cache_info().currsize)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "0"]
