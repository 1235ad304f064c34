"""`visits`, `show`, `delete` and `effort` as a person types them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.commands.visits import _hours
from birdwatchd.records import Rank, State, Verdict, clip_path
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.testing import START, example_moment, example_visit

ZONE = ZoneInfo("Asia/Jerusalem")
Say = Callable[..., tuple[int, str, str]]


def verdict(name: str | None, scientific: str | None, state: State = State.CONFIRMED) -> Verdict:
    rank = Rank.SPECIES if name else Rank.BIRD
    top = ((name, 0.9),) if name else (("Unknown", 0.6), ("Great tit", 0.2))
    return Verdict(state, rank, name, scientific, top[0][1], top, ("why",))


BIRDS = (
    ("01JTJC2Q8ZK4V7XW5N3M9R6BD1", "nut", verdict("Great tit", "Parus major")),
    ("01JTJC2Q8ZK4V7XW5N3M9R6BD2", "nut", verdict("Eurasian blue tit", "Cyanistes caeruleus", State.UNCERTAIN)),
    ("01JTJC3Q8ZK4V7XW5N3M9R6BD3", "pond", verdict("House sparrow", "Passer domesticus")),
    ("01JTJC4Q8ZK4V7XW5N3M9R6BD4", "nut", verdict(None, None, State.UNKNOWN)),
)
IDS = tuple(bird[0] for bird in BIRDS)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "home", zone=ZONE) as store:
        writer = store.writer()
        for number, (visit_id, camera, said) in enumerate(BIRDS):
            start = START + timedelta(hours=number)
            end = start + timedelta(seconds=9)
            visit = example_visit(visit_id, camera=camera, start=start, end=end, verdict=said)
            writer.record(visit, [example_moment(0)], start)
        writer.review(IDS[2], Review(ReviewVerdict.CONFIRM, "me"), START)
        for minute in range(90):
            store.effort.note("nut", START + timedelta(minutes=minute), "online")
        store.effort.note("nut", START + timedelta(minutes=90), "offline")
    (tmp_path / "birdwatchd.yaml").write_text(
        f"home: {tmp_path / 'home'}\nstation: {{timezone: Asia/Jerusalem}}\n"
        "cameras: {nut: {source: 'rtsp://user:${NO_SUCH_PASSWORD}@192.0.2.1/main'}}\n"
    )
    return tmp_path / "home"


@pytest.fixture
def say(home: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Types a command; status, standard output, standard error."""

    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run_cli([command, "-c", str(home.parent / "birdwatchd.yaml"), *arguments])
        return status, *capsys.readouterr()

    return run


def found(say: Say, *arguments: str) -> list[str]:
    status, out, err = say("visits", "--json", *arguments)
    assert status == 0, err
    return [json.loads(line)["visit_id"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), IDS),
        (("-n", "2"), IDS[2:]),
        (("--camera", "pond"), IDS[2:3]),
        (("--species", "parus MAJOR"), IDS[:1]),
        (("--species", "sparrow"), IDS[2:3]),
        (("--species", "great"), IDS[:1]),
        (("--species", "Eurasian hoopoe"), ()),
        (("--species", "unicorn"), ()),
        (("--genus", "cyanistes"), IDS[1:2]),
        (("--family", "paridae"), IDS[:2]),
        (("--state", "uncertain", "--state", "unknown"), (IDS[1], IDS[3])),
        (("--unreviewed",), (*IDS[:2], IDS[3])),
        (("--since", "2026-05-01T10:00", "--until", "2026-05-01T12:00"), IDS[1:3]),  # the station's clock
        (("--family", "Paridae", "--state", "confirmed"), IDS[:1]),
    ],
)
def test_visits_are_found_by_what_people_remember(say: Say, arguments: tuple[str, ...], expected: tuple[str]) -> None:
    """My own user cannot read the camera's password, which only the service has: `visits` refused the configuration.

    Must: Visits are listed without it, by day, state, genus, family, or a word of any name.
    """
    assert found(say, *arguments) == list(expected)


def test_what_cannot_be_found_is_told_apart_from_what_did_not_come(say: Say) -> None:
    """`no visits match` of a camera that is spelt wrong sends its owner up the ladder."""
    assert say("visits", "--camera", "nutt") == (2, "", "birdwatchd: there is no camera nutt; there are nut, pond\n")
    status, _, err = say("visits", "--species", "tit")
    assert (status, err) == (
        2,
        "birdwatchd: --species: several species that were seen are called tit; Eurasian blue tit, Great tit\n",
    )


def test_more_than_a_thousand_visits_are_all_listed(say: Say, home: Path) -> None:
    """A list that silently ended at 1,000 made a table for a report wrong.

    Must: All are listed, unless `--limit` says how many.
    """
    with Store.open(home, zone=ZONE) as store, store._database.writing() as connection:
        rows = connection.exec_driver_sql("PRAGMA table_info(visit)").all()
        listed = ", ".join(f'"{row[1]}"' for row in rows if row[1] != "id")
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
            f'INSERT INTO visit ("id", {listed})'
            f" SELECT printf('01JTJD%020d', i), {listed} FROM n, visit WHERE visit.id = '{IDS[0]}'"
        )
    assert len(found(say)) == 1504
    status, out, _ = say("visits")
    assert (status, len(out.splitlines())) == (0, 1505)


def test_pictures_are_named_with_their_paths(say: Say, home: Path) -> None:
    """Who wants the crops of a species wants a list of files.

    Must: `visits --json` has the paths of pictures and clip.
    """
    _, out, _ = say("visits", "--json", "-n", "1")
    shown = json.loads(out)
    (picture,) = shown["pictures"]
    assert Path(picture).is_file()
    assert Path(picture).is_relative_to(home)
    assert shown["clip"] is None
    clip = clip_path("nut", IDS[3])
    with Store.open(home, zone=ZONE) as store:
        visit = store.visits.get(IDS[3])
        assert visit is not None
        (home / clip).parent.mkdir(parents=True, exist_ok=True)
        (home / clip).write_bytes(b"video")
        store.writer().record(replace(visit, revision=visit.revision + 1, clip=clip), [], START)
    _, out, _ = say("visits", "--json", "-n", "1")
    assert json.loads(out)["clip"] == str(home / clip)


def test_a_table_for_spreadsheets(say: Say) -> None:
    """Ecologists work in R and in spreadsheets."""
    status, out, _ = say("visits", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert [row["visit_id"] for row in rows] == list(IDS)
    assert rows[0]["scientific_name"] == "Parus major"
    assert rows[3]["common_name"] == ""
    assert datetime.fromisoformat(rows[0]["start"]) == START


def test_no_cell_is_a_formula(say: Say, home: Path) -> None:
    """A file on a card may be called like one, and a spreadsheet would compute it."""
    with Store.open(home, zone=ZONE) as store:
        visit = replace(example_visit("v9", camera="nut", start=START), media="=cmd|' /C calc'!A0")
        store.writer().record(visit, [], START)
    _, out, _ = say("visits", "--csv")
    assert "'=cmd" in out
    assert ",=cmd" not in out


def test_an_unknown_family_gets_a_hint(say: Say) -> None:
    """Names of families are hard to spell."""
    status, _, err = say("visits", "--family", "Parideae")
    assert status == 2
    assert "did you mean Paridae" in err


@pytest.mark.parametrize(
    ("text", "visit_id"), [(IDS[1], IDS[1]), ("01jtjc3", IDS[2]), ("last", IDS[3]), ("last:pond", IDS[2])]
)
def test_a_visit_by_the_beginning_of_its_id_or_as_the_last(say: Say, text: str, visit_id: str) -> None:
    """Nobody types 26 characters.

    Must: The beginning of an id, `last` and `last:CAMERA` are enough.
    """
    status, out, _ = say("show", text)
    assert status == 0
    assert visit_id in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("01JTJC2", "more than one visit begins with 01JTJC2"),
        ("01J", "there is no visit 01J"),
        ("01JX", "there is no visit 01JX"),
        ("last:owl", "there is no visit of camera owl yet"),
    ],
)
def test_what_is_no_visit_or_several_is_one_line(say: Say, text: str, said: str) -> None:
    """Guessing would review or delete another bird."""
    status, out, err = say("show", text)
    assert (status, out) == (1, "")
    assert said in err


def test_everything_about_one_visit(say: Say, home: Path) -> None:
    """To see a picture, one must know where it lies.

    Must: `show VISIT` tells all, with the paths of its pictures and of its clip.
    """
    status, out, _ = say("show", "last:pond")
    assert status == 0
    for text in (
        "House sparrow (Passer domesticus), 100%, confirmed",
        "2026-05-01 11:30:00 IDT",
        "reviewed",
    ):
        assert text in out
    picture = next(line.split()[-1] for line in out.splitlines() if line.startswith("picture"))
    assert Path(picture).is_file()
    _, out, _ = say("show", "last:pond", "--json")
    shown = json.loads(out)
    assert (shown["pictures"][0]["picture"], shown["reviewed"], shown["clip"]) == (picture, True, None)


def test_nothing_is_deleted_without_a_yes(say: Say, home: Path) -> None:
    """A deleted visit is gone for good.

    Must: `delete VISIT` shows what would go, and takes `--yes`.
    """
    status, out, err = say("delete", "last", IDS[0])
    assert (status, len(found(say))) == (1, 4)
    assert IDS[3] in out
    assert "add --yes to delete 2 visits" in err
    status, out, err = say("delete", "last", IDS[0], IDS[0][:-1] + "1", "--yes")
    assert (status, found(say)) == (0, list(IDS[1:3]))
    assert len(list((home / "media").rglob("*.jpg"))) == 2


def test_a_visit_that_does_not_exist_costs_no_other(say: Say) -> None:
    """A typing error in the last of ten ids must not be found out after nine were deleted."""
    status, _, err = say("delete", IDS[0], "01JX", "--yes")
    assert status == 1
    assert "there is no visit 01JX" in err
    assert len(found(say)) == 4


def test_what_was_reviewed_can_be_deleted_by_a_person(say: Say) -> None:
    """Only a machine must not remove it."""
    assert say("delete", IDS[2], "--yes")[0] == 0
    assert IDS[2] not in found(say)


def test_for_how_long_cameras_were_watched(say: Say) -> None:
    """Without effort, a week without birds and a week without a camera look the same.

    Must: `effort` tells for how long each camera was watched on each day.
    """
    status, out, _ = say("effort", "--since", "2026-05-01")
    heading, line = out.splitlines()
    assert status == 0
    assert heading.split() == ["day", "nut"]
    assert line.split() == ["2026-05-01", "1", "h", "30", "min"]
    assert heading.index("nut") + len("nut") == len(line)
    assert _hours(timedelta(minutes=2)) == "2 min"
    assert _hours(timedelta(hours=3, minutes=2)) == "3 h 02 min"
    _, out, _ = say("effort", "--since", "2026-05-01", "--json")
    assert json.loads(out) == {"day": "2026-05-01", "hours": {"nut": 1.5}}
    status, out, err = say("effort", "--since", "2026-06-01")
    assert (status, out) == (0, "")
    assert "no camera was watched" in err


def test_dash_h_helps(capsys: pytest.CaptureFixture[str]) -> None:
    """`-h` is what people try first: "No such option".

    Must: It helps, as `--help` does.
    """
    assert run_cli(["-h"]) == 0
    assert "Know which birds visit" in capsys.readouterr().out
    assert run_cli(["visits", "-h"]) == 0
    assert "--unreviewed" in capsys.readouterr().out
