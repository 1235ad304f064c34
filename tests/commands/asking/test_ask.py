"""`review --ask` as a person types it, line by line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.commands.asking.answers import PROMPT
from birdwatchd.records import Rank, State, Verdict
from birdwatchd.store import Store
from birdwatchd.testing import START, example_moment, example_visit

ZONE = ZoneInfo("Asia/Kathmandu")
Ask = Callable[..., str]
VISITS = {
    "01JTJC2Q8ZK4V7XW5N3M9R6BD1": Verdict(
        State.CONFIRMED, Rank.SPECIES, "House sparrow", "Passer domesticus", 0.9, (("House sparrow", 0.9),)
    ),
    "01JTJC3Q8ZK4V7XW5N3M9R6BD2": Verdict(
        State.UNKNOWN, Rank.BIRD, None, None, 0.6, (("Unknown", 0.6), ("Great tit", 0.2), ("House sparrow", 0.1))
    ),
    "01JTJC4Q8ZK4V7XW5N3M9R6BD3": Verdict(State.REJECTED, Rank.BIRD, None, None, 0.9, ()),
}
SPARROW, UNKNOWN, LEAF = VISITS


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a sparrow, two hours later a bird without a name, and what was no bird."""
    with Store.open(tmp_path / "home", zone=ZONE) as store:
        writer = store.writer()
        for number, (visit_id, verdict) in enumerate(VISITS.items()):
            start = START + timedelta(hours=number)
            end = start + timedelta(seconds=9)
            visit = example_visit(visit_id, camera="nut", start=start, end=end, verdict=verdict)
            writer.record(visit, [example_moment(0)], start)
        writer.record(replace(visit, visit_id="01JTJC5Q8ZK4V7XW5N3M9R6BD4", end=None), [], START)
    (tmp_path / "names.csv").write_text("scientific_name,name\nParus major,Kohlmeise\n")
    (tmp_path / "birdwatchd.yaml").write_text(
        f"home: {tmp_path / 'home'}\nstation: {{timezone: Asia/Kathmandu}}\nspecies: {{names_file: names.csv}}\n"
        "cameras: {nut: {source: 'rtsp://user:${NO_SUCH_PASSWORD}@192.0.2.1/main'}}\n"
    )
    return tmp_path / "home"


@pytest.fixture
def ask(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Gives these answers; returns what was shown."""

    def ask(*answers: str, options: tuple[str, ...] = ()) -> str:
        lines = iter(answers)

        def read(prompt: str) -> str:
            for line in lines:
                return line
            raise EOFError

        monkeypatch.setattr("birdwatchd.commands.asking.ask.run_ask.__defaults__", (read,))
        monkeypatch.chdir(home.parent)
        assert run_cli(["review", "--ask", "--by", "ann", *options]) == 0
        return capsys.readouterr().out

    return ask


def verdicts(home: Path) -> dict[str, tuple[State, str | None]]:
    """State and name of each visit."""
    with Store.open(home, zone=ZONE) as store:
        found = (store.visits.get(visit_id) for visit_id in VISITS)
        return {one.visit_id: (one.verdict.state, one.verdict.common_name) for one in found if one is not None}


def test_one_after_the_other_with_picture_and_what_it_could_be(ask: Ask, home: Path) -> None:
    """To review forty visits, forty ids had to be copied from the list into forty commands.

    Must: `review --ask` asks about one after the other, the newest first, with the picture's path and the best guesses.
    """
    said = ask("1", "y")
    (first, second) = said.split("→ Kohlmeise\n")
    assert "unknown bird (Great tit?) 20%  1 of 2, nut, 2026-05-01 13:15:00" in first
    assert f"{home}/media/nut/2026/05/01/{UNKNOWN}-0.jpg" in first
    assert "1 Great tit  2 House sparrow" in first
    assert "House sparrow 90%  2 of 2" in second
    assert said.endswith("2 visits reviewed, 0 skipped, 0 left\n")
    assert verdicts(home)[UNKNOWN] == (State.CONFIRMED, "Kohlmeise")
    assert ask() == "no visit waits for a review\n"


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("kohlm", "Kohlmeise"),
        ("great tit", "Kohlmeise"),
        ("PARUS  MA", "Kohlmeise"),
        ("house sp", "House sparrow"),
        ("Eurasian hoo", "Eurasian hoopoe"),
    ],
)
def test_a_name_in_any_language_or_its_beginning(ask: Ask, home: Path, answer: str, name: str) -> None:
    """Who has three hundred visits to go through types no whole names."""
    ask(answer)
    assert verdicts(home)[UNKNOWN] == (State.CONFIRMED, name)


def test_a_beginning_that_several_have_is_a_list(ask: Ask, home: Path) -> None:
    """Only the name of an extinct starling begins with `hoopoe`; nobody means it, and it must not be taken silently."""
    said = ask("hoopoe", "1")
    assert "1 Eurasian hoopoe Upupa epops\n" in said
    assert "Hoopoe Starling Fregilupus varius" in said
    assert "more; write more of the name" in said
    assert verdicts(home)[UNKNOWN] == (State.CONFIRMED, "Eurasian hoopoe")


def test_what_the_model_thought_of_comes_first_in_the_list(ask: Ask) -> None:
    """133 birds are called sparrow; this one is most likely the one that the network had second."""
    assert "1 House sparrow Passer domesticus\n" in ask("sparrow")


def test_answers_that_change_nothing(ask: Ask, home: Path) -> None:
    """A slip of the finger must not become a lesson for the network."""
    before = verdicts(home)
    said = ask("y", "zzz", "9", "u", "k", "?", "", "j")
    for reply in (
        "has no name to confirm; say which species it is\n",  # here it is typed, and no option
        "no species is called zzz",
        "the numbers are 1 to 2",
        "there is nothing to undo",
        "this is the first one",
        "n       not a bird",
    ):
        assert reply in said
    assert said.endswith("0 visits reviewed, 2 skipped, 0 left\n")
    assert verdicts(home) == before


def test_the_letters_mean_what_they_mean_on_the_page(ask: Ask, home: Path) -> None:
    """`s` asks for a species and skips nothing; `x` selects there, and must not say here that it is no bird."""
    before = verdicts(home)
    said = ask("x", "s", "", "s", "n", "s", "kohlm", "s", "2", "q")
    assert said.count("→ ") == said.count("→ Kohlmeise") == 1
    assert "the only number is 1" in said
    assert verdicts(home)[UNKNOWN] == (State.CONFIRMED, "Kohlmeise")
    assert verdicts(home)[SPARROW] == before[SPARROW]
    assert PROMPT.startswith("c right, s species, n not a bird, j skip, u undo")


def test_who_goes_back_sees_the_answer_and_can_change_it(ask: Ask, home: Path) -> None:
    """`k` is the visit before, as on the page; each answer that changed something takes one undo."""
    said = ask("1", "k", "1", "k", "n", "u", "u", "q")
    assert "Kohlmeise 100%  1 of 2" in said
    assert said.count("undone: ") == 2
    assert said.endswith("0 visits reviewed, 0 skipped, 2 left\n")
    assert verdicts(home)[UNKNOWN] == (State.UNKNOWN, None)


def test_undo_goes_back_over_what_was_skipped(ask: Ask, home: Path) -> None:
    """The finger was faster than the eye; the last answer was two pictures ago."""
    before = verdicts(home)
    said = ask("n", "u", "n", "q")
    assert "undone: unknown bird" in said
    assert said.endswith("1 visit reviewed, 0 skipped, 1 left\n")
    assert verdicts(home)[UNKNOWN] == (State.REJECTED, None)
    assert verdicts(home)[SPARROW] == before[SPARROW]


def test_the_last_answer_can_be_undone_too(ask: Ask, home: Path) -> None:
    """There is no next picture at which one could say so."""
    said = ask("j", "n", "u", "c", "")
    assert said.endswith("1 visit reviewed, 1 skipped, 0 left\n")
    assert verdicts(home)[SPARROW] == (State.CONFIRMED, "House sparrow")


def test_what_is_asked_about_can_be_chosen(ask: Ask, home: Path) -> None:
    """Only one visit, only from a day, a camera or a state on."""
    assert "1 of 1" in ask("q", options=(SPARROW,))
    assert "no visit waits" in ask(options=("--since", "2026-05-02"))
    assert "no visit waits" in ask(options=("--camera", "pond"))
    assert "House sparrow 90%  1 of 1" in ask("q", options=("--until", "2026-05-01T12:30"))
    assert "not a bird 90%  1 of 1" in ask("q", options=("--state", "rejected"))


def test_mistakes_on_the_command_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A review of no visit, and two things at once."""
    monkeypatch.chdir(home.parent)
    for arguments, says in (
        (("--confirm",), "name one, such as `last`"),
        (("last", "--ask", "--confirm"), "choose one review"),
        (("last", "--confirm", "--since", "7d"), "belong to --ask"),
        ((), "or --ask"),
    ):
        assert run_cli(["review", *arguments]) == 2
        assert says in capsys.readouterr().err
