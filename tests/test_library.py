"""The programs of docs/reference/library.md run as they are printed, and the doors that they use keep their names."""

from __future__ import annotations

import ast
import csv
import importlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from birdwatchd import testing
from birdwatchd.address import Source
from birdwatchd.camera import watch_file
from birdwatchd.demo.cameras.scene import ScheduledVisit
from birdwatchd.errors import SourceUnusable
from birdwatchd.mqtt import Topics, visit_json
from birdwatchd.records import Phase
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.store import Store, StoredVisit

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reference/library.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
VISITS = (
    ScheduledVisit("Great tit", 7.0, 10.0, seed=5),
    ScheduledVisit("Eurasian hoopoe", 13.0, 16.0, perch=2, seed=6),
)
DOORS = ("camera", "species", "store", "mqtt")


def program(word: str) -> str:
    """The one program of the page that uses a name."""
    (found,) = [text for text in PROGRAMS if re.search(rf"\b{word}\(", text) and "birdwatchd.testing" not in text]
    return str(found)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(text: str, folder: Path) -> list[str]:
    """Run a program in a folder; the lines that it printed."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 20 s in which two birds come."""
    path = tmp_path_factory.mktemp("clip") / "garden.mp4"
    assert testing.write_drawn_clip(path, testing.drawn_scene(4, visits=VISITS)) == VISITS
    return path


def test_every_program_of_the_page_is_run_here() -> None:
    """A program that is added to the page needs its inputs prepared below."""
    names = ("watch_file", "Observer", "load_classifier", "StoreReader.open_existing", "received_visits")
    texts = {program(name) for name in names}
    assert len(texts) == len(names)
    assert [text for text in PROGRAMS if text not in texts and "birdwatchd.testing" not in text] == []


def test_visits_of_a_file(clip: Path) -> None:
    """Two birds, two visits, a picture of each."""
    lines = run(program("watch_file"), clip.parent)
    spans = [(float(m[1]), float(m[2])) for line in lines if (m := re.match(r"([\d.]+) s to ([\d.]+) s, 1 at", line))]
    assert len(lines) == len(spans) == len(VISITS)
    for (start_s, end_s), visit in zip(spans, VISITS, strict=True):
        assert abs(start_s - visit.start_s) < 1
        assert abs(end_s - visit.end_s) < 1
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in clip.parent.glob("*.jpg"))
    assert len(list(clip.parent.glob("*.jpg"))) == len(VISITS)


def test_evidence_of_frames(clip: Path) -> None:
    """Each visit is said to be there, and at last to be over."""
    lines = [line.split() for line in run(program("Observer"), clip.parent)]
    last = {visit_id: state for visit_id, _, state in lines}
    assert list(last.values()) == ["over", "over"]
    assert "present" in {state for _, _, state in lines}


def test_names_of_an_image(tmp_path: Path) -> None:
    """The demo model names what was drawn."""
    testing.bird_image("Great tit", 90_001).save(tmp_path / "tit.jpg")
    first, *top = run(program("load_classifier"), tmp_path)
    assert first.startswith("confirmed Great tit ")
    assert len(top) == 5
    assert re.fullmatch(r" *\d+\.\d%  Great tit", top[0])


def test_a_table_of_a_database(tmp_path: Path) -> None:
    """Only visits since the date are in it, oldest first."""
    with testing.temporary_store() as store:
        assert not (tmp_path / "birdwatchd").exists()
        home = store.home
        old, new = datetime(2026, 4, 30, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)
        for visit in (testing.example_visit("v1", start=old), testing.example_visit("v2", "Great tit", start=new)):
            store.writer().record(visit, [testing.example_moment()], testing.START)
        (tmp_path / "birdwatchd").symlink_to(home)
        rows = list(csv.reader(run(program("StoreReader.open_existing"), tmp_path)))
    assert rows == [
        ["start", "camera", "state", "species", "score"],
        ["2026-05-02T00:00:00+00:00", "nut", "confirmed", "Great tit", "0.9"],
    ]
    assert not home.exists()


def payloads() -> Sequence[bytes]:
    """What birdwatchd publishes of a visit, and what else may be on its topic."""
    there = testing.example_visit("v1", end=None)
    over = replace(testing.example_visit("v1"), revision=2)
    events = [{"event_type": "visit", **visit_json(StoredVisit(v, Phase.FINAL, ()))} for v in (there, over)]
    retracted = events[1] | {"event_type": "retracted"}
    return [b"\xff", b"[]", *(json.dumps(event).encode() for event in (events[0], retracted, events[1]))]


def test_visits_over_mqtt(tmp_path: Path) -> None:
    """Only the visit that is over is printed; what others publish there does no harm."""
    with testing.broker() as url:
        (tmp_path / "program.py").write_text(program("received_visits").replace("mqtt://127.0.0.1:1883", url))
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)  # type: ignore[attr-defined]
        client.connect("127.0.0.1", int(url.rsplit(":", 1)[1]))
        client.loop_start()
        listening = subprocess.Popen(
            [sys.executable, "program.py"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
        )
        over = threading.Event()

        def publish() -> None:  # again and again: when the program is subscribed cannot be seen from here
            while not over.wait(0.3):
                for payload in payloads():
                    client.publish(Topics("birdwatch", "home").visit("nut"), payload, qos=1)

        publisher = threading.Thread(target=publish, daemon=True)
        publisher.start()
        try:
            assert listening.stdout is not None
            lines = [listening.stdout.readline() for _ in range(2)]
        finally:
            over.set()
            publisher.join()
            listening.kill()
            listening.communicate()
            client.disconnect()
            client.loop_stop()
    assert lines == ["nut 2026-05-01T06:30:00.000Z House sparrow\n"] * 2


def test_the_program_for_tests(tmp_path: Path) -> None:
    """It asserts for itself; here, that it had something to assert."""
    (text,) = [text for text in PROGRAMS if "birdwatchd.testing" in text]
    assert int(run(text + "\nprint(sum(oracle.batches))\n", tmp_path)[-1]) > 0


def test_the_oracle_knows_the_drawn_birds(clip: Path) -> None:
    """All moments of a visit get the name of the bird that was drawn, and a table may name them instead."""
    truth = testing.OracleClassifier(testing.label_in_scene(testing.drawn_scene(4, visits=VISITS)))
    visits = list(watch_file(clip))
    assert [v.media for v in visits] == [str(clip)] * 2
    for visit, drawn in zip(visits, VISITS, strict=True):
        predictions = truth.predict([(visit.visit_id, moment) for moment in visit.moments])
        assert [m.index for m in visit.moments] == list(range(len(visit.moments)))
        assert len(predictions) == len(visit.moments) > 1
        assert {truth.labels[int(p.logits.argmax())].common_name for p in predictions} == {drawn.species}
    table = testing.OracleClassifier(lambda moment: {0: "Eurasian hoopoe"}.get(moment.index))
    (only,) = table.predict([("v", moment) for moment in visits[0].moments])
    assert only.moment.index == 0
    assert table.labels[int(only.logits.argmax())].common_name == "Eurasian hoopoe"


def test_settings_of_a_watched_file_count(clip: Path) -> None:
    """Places to ignore are ignored; the source of the settings is not used."""
    everywhere = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert list(watch_file(clip, CameraSettings(source=Source("none.mp4"), ignore=(everywhere,)))) == []


def test_a_file_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    """Nothing found and nothing said would be taken for an empty garden."""
    path = tmp_path / "rtsp:x.mp4"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(SourceUnusable):
        list(watch_file(path))


def test_a_temporary_store_is_gone_afterwards() -> None:
    """Tests leave nothing behind, and start with nothing."""
    with testing.temporary_store() as store:
        assert isinstance(store, Store)
        assert store.visits.find() == []
        home = store.home
    assert not home.exists()


@pytest.mark.parametrize("door", DOORS)
def test_a_door_says_the_same_three_times(door: str) -> None:
    """Type checkers read the imports, Python the table of modules, people `__all__`."""
    package = importlib.import_module(f"birdwatchd.{door}")
    tree = ast.parse((ROOT / "birdwatchd" / door / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: (node.module or "").removeprefix(f"birdwatchd.{door}.")
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (table,) = [ast.literal_eval(node) for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    assert table == typed
    assert sorted(package.__all__) == sorted(typed)
    for name, module in typed.items():
        assert getattr(package, name) is getattr(importlib.import_module(f"birdwatchd.{door}.{module}"), name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = package.nonsense


@pytest.mark.parametrize("package", [*DOORS, "testing"])
def test_stable_names_exist(package: str) -> None:
    """The page promises them."""
    module = importlib.import_module(f"birdwatchd.{package}")
    (row,) = re.findall(rf"^\| `birdwatchd\.{package}` \| (.*) \|$", PAGE, re.MULTILINE)
    promised = [name for name in re.findall(r"`(\w+)`", row) if name != "__all__"]
    methods = {"look", "pass_time", "finish", "frames"}
    assert [name for name in promised if name not in methods and name not in module.__all__] == []
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
