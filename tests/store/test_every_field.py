"""Every field of evidence, visit and moment reaches each form it takes; what a form leaves out is said here.

The fields are read from the records themselves: who adds one and forgets the wire, the row or a JSON fails a test, and
who means to leave it out has to say so.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from birdwatchd.camera.process.wire import FileDone, TuneDone, decode, encode
from birdwatchd.mqtt.payloads import event_type, visit_json
from birdwatchd.records import Box, CameraStatus, Crop, Evidence, Moment, Phase, Visit, clip_path, new_visit_id
from birdwatchd.stages.classify import ClassifiedEvidence
from birdwatchd.stages.record import visit_of
from birdwatchd.store import MomentRow, Store, StoredVisit
from birdwatchd.store.media import frame_path

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
IDS = (new_visit_id(START, 1), new_visit_id(START, 2))

# Of each field its name is known, two values that no default has; of all others the type is enough.
BY_NAME: dict[str, tuple[Any, Any]] = {
    "visit_id": IDS,
    "clip": (clip_path("one", IDS[0]), None),
    "end": (START + timedelta(seconds=10), START + timedelta(seconds=11)),
    "last_seen": (START + timedelta(seconds=20), START + timedelta(seconds=21)),
}
BY_TYPE: dict[Any, tuple[Any, Any]] = {
    str: ("one", "other"),
    bytes: (b"one", b"other"),
    int: (1, 2),
    float: (0.25, 0.5),
    bool: (True, False),
    datetime: (START, START + timedelta(seconds=1)),
    tuple[str, ...]: (("one",), ("other",)),
    tuple[tuple[str, float], ...]: ((("one", 0.5),), (("other", 0.25),)),
    tuple[tuple[str, int], ...]: ((("one", 1),), (("other", 2),)),
}


def values(name: str, hint: Any) -> tuple[Any, Any]:
    """Two values for a field."""
    if name in BY_NAME:
        return BY_NAME[name]
    if isinstance(hint, types.UnionType):
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    if hint in BY_TYPE:
        return BY_TYPE[hint]
    if typing.get_origin(hint) is tuple:
        one, other = values(name, typing.get_args(hint)[0])
        return (one,), (one, other)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        one, other, *_ = hint
        return one, other
    assert is_dataclass(hint), f"say above which values {name}, a {hint}, may have"
    return build(hint, 0), build(hint, 1)


def build(record: Any, which: int) -> Any:
    """A record with the first (0) or second (1) value of every field."""
    hints = typing.get_type_hints(record)
    return record(**{field.name: values(field.name, hints[field.name])[which] for field in fields(record)})


def changed(record: Any, *inside: str) -> Iterator[tuple[str, Any]]:
    """A record once for each of its fields, with the second value of that; fields named `inside` are gone into."""
    hints = typing.get_type_hints(type(record))
    for field in fields(record):
        if field.name in inside:
            for name, value in changed(getattr(record, field.name), *inside):
                yield f"{field.name}.{name}", replace(record, **{field.name: value})
        else:
            yield field.name, replace(record, **{field.name: values(field.name, hints[field.name])[1]})


def with_its_clip(record: Any) -> Any:
    """An evidence or visit whose clip, if it has one, is named as its camera and id demand."""
    return replace(record, clip=clip_path(record.camera, record.visit_id)) if record.clip else record


def left_out(base: Any, form: Callable[[Any], Any], *inside: str) -> set[str]:
    """The fields whose value cannot be told from a form."""
    return {name for name, other in changed(base, *inside) if form(other) == form(base)}


def over_the_wire(item: Any) -> Any:
    message = encode(item)
    head = int.from_bytes(message[4:8], "big")
    return decode(message[8 : 8 + head], message[8 + head :])


def test_every_field_of_evidence_goes_over_the_wire() -> None:
    """What a camera process says and the main process never hears is a feature that works in tests only."""
    base = build(Evidence, 0)
    assert over_the_wire(base) == base
    others = {name: with_its_clip(other) for name, other in changed(base)}
    others |= {name: replace(base, moments=(moment,)) for name, moment in changed(base.moments[0], "crop")}
    for name, other in others.items():
        assert over_the_wire(other) == other != base, name


@pytest.mark.parametrize("kind", [CameraStatus, FileDone, TuneDone])
def test_every_field_of_what_a_process_reports_goes_over_the_wire(kind: type) -> None:
    """That a recording shows a place never seen empty was told in tests, and to nobody who scanned a card."""
    base = build(kind, 0)
    for name, other in [("none", base), *changed(base)]:
        sent = replace(other, unwatched_s=0.0) if isinstance(other, CameraStatus) else other  # measured by who reads
        assert over_the_wire(other) == sent, name


def test_every_field_of_evidence_is_in_the_visit() -> None:
    """The moments are rows of their own, a visit says how many there were; what is lifeless is removed, not marked."""
    verdict = build(Visit, 0).verdict

    def form(evidence: Evidence) -> Visit:
        return visit_of(ClassifiedEvidence(evidence, (), verdict, 3, Box(0.1, 0.2, 0.3, 0.4)), "demo@1")

    base = build(Evidence, 0)
    assert left_out(base, form) == {"moments", "lifeless"}
    for name, other in changed(base):
        assert name in {"moments", "lifeless"} or getattr(form(other), name) == getattr(other, name), name


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, zone=ZoneInfo("UTC")) as opened:
        yield opened


def test_every_field_of_a_visit_is_in_its_row(store: Store) -> None:
    """Pages and exports are made of what was kept, years later."""
    base = build(Visit, 0)
    for number, (name, changes) in enumerate([("none", base), *changed(base, "verdict")]):
        visit = with_its_clip(replace(changes, visit_id=new_visit_id(START, number)))
        if visit.clip:
            (store.home / visit.clip).parent.mkdir(parents=True, exist_ok=True)
            (store.home / visit.clip).touch()
        assert store.writer().record(visit, (), START).recorded
        kept = store.visits.get(visit.visit_id)
        assert kept == (visit if visit.clip else replace(visit, clip_cut=False)), name


def test_every_field_of_a_moment_is_in_its_row(store: Store) -> None:
    """Where in a recording a moment was is not kept: its time says it. The whole frame is a file beside the crop."""

    def form(moment: Moment) -> tuple[Any, ...]:
        visit = replace(build(Visit, 0), visit_id=new_visit_id(START), clip=None)
        row = MomentRow(moment, np.ones(4, np.float32), ())
        store.writer().record(visit, [row], START)
        (kept,) = store.visits.moments(visit.visit_id)
        assert kept.crop is not None
        whole = Path(frame_path(str(kept.crop)))
        frame = whole.read_bytes() if whole.exists() else b""
        return kept.idx, kept.at, kept.box, kept.quality, kept.crop.read_bytes(), kept.width, kept.height, frame

    base = build(Moment, 0)
    crop: Crop = base.crop
    assert form(base) == (base.index, base.at, base.box, base.quality, crop.jpeg, crop.width, crop.height, base.frame)
    assert left_out(base, form, "crop") == {"media_s"}


def test_every_field_of_a_visit_is_in_its_json() -> None:
    """`visits --json` leaves out what only the program itself needs, and what the network alone would have ranked."""
    base = build(Visit, 0)
    assert left_out(base, Visit.to_json, "verdict") == {
        "revision",
        "last_seen",
        "clip",
        "clip_cut",
        "clock",
        "verdict.raw_top",
    }


def test_every_field_of_a_visit_is_in_its_mqtt_payload() -> None:
    """A message is small: what a recording says, how sure others were and where files lie stays at home."""

    def form(stored: StoredVisit) -> dict[str, Any]:
        return {"event_type": event_type(stored), **visit_json(stored)}

    base = StoredVisit(build(Visit, 0), Phase.PROVISIONAL, ("today",))
    assert left_out(base, form, "visit", "verdict") == {
        "visit.media",
        "visit.start_s",
        "visit.end_s",
        "visit.last_seen",
        "visit.clip",
        "visit.clip_cut",
        "visit.clock",
        "visit.verdict.top",
        "visit.verdict.reasons",
        "visit.verdict.raw_score",
        "visit.verdict.raw_top",
    }
