"""`birdwatchd review --ask`: show one visit after the other, the newest first, and store what a person says of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.commands.asking.answers import ASK_SPECIES, PROMPT, Answer, Kind, understand
from birdwatchd.commands.asking.picture import picture_sequence, protocol_of
from birdwatchd.commands.terminal import NO_SPECIES, best_guess, counted, name_of, out, shown
from birdwatchd.errors import StoreError
from birdwatchd.mqtt.build import build_composer
from birdwatchd.records import Label, State, Visit
from birdwatchd.settings.config import Config
from birdwatchd.species.verdict.named import SpeciesNames
from birdwatchd.store import Review, ReviewVerdict, Store, StoredMoment, VisitFilter, Writer

__all__ = ["AskOptions", "run_ask"]

MOST = 1000  # visits of one sitting
MOST_NAMES = 9  # species that are offered for a beginning that several have
KEPT = (State.CONFIRMED, State.UNCERTAIN, State.UNKNOWN)  # what is asked about where nobody says otherwise
HELP = (
    "c       the name is right (or y)",
    "s       another species: asks for its name",
    "NAME    the right species, or the beginning of its name: in English, scientific, or in your language",
    "1, 2 …  that species of the list",
    "n       not a bird: a leaf, a squirrel, a hand",
    "j       skip it (or just Enter)",
    "k       back to the visit before",
    "u       undo the last answer, and be asked again",
    "q       quit; what you have said is stored already",
)


@dataclass(frozen=True, slots=True)
class AskOptions:
    """What to ask about: one visit, or those that nobody has reviewed; and who answers."""

    by: str
    visit: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    camera: str | None = None
    states: tuple[State, ...] = ()


def run_ask(config: Config, options: AskOptions, read: Callable[[str], str] = input) -> int:
    """Ask until there is nothing left, or the person quits.

    Args:
        read: shows a prompt and gives a line; raises EOFError at the end.

    Raises:
        NoSuchVisit: there is no such visit.
    """
    zone, unkept = config.station.zone, config.without_pictures
    with Store.open(config.home, zone=zone, without_pictures=unkept, existing=True) as store:
        if options.visit is not None:
            visits = [store.visits.named(options.visit)]
        else:
            wanted = VisitFilter(
                options.since, options.until, options.camera, states=options.states or KEPT, unreviewed=True
            )
            visits = [visit for visit in reversed(store.visits.newest(wanted, MOST)) if visit.end is not None]
        if not visits:
            out.print("no visit waits for a review")
            return 0
        sitting = _Sitting(config, store, options.by, read, visits)
        try:
            sitting.run()
        except (EOFError, KeyboardInterrupt):
            out.print()
        reviewed, skipped = set(sitting.reviewed), sitting.skipped - set(sitting.reviewed)
        left = len(visits) - len(reviewed) - len(skipped)
        out.print(f"{counted(len(reviewed), 'visit')} reviewed, {len(skipped)} skipped, {left} left")
    return 0


@dataclass
class _Sitting:
    """One person, one list of visits, and what was answered so far."""

    config: Config
    store: Store
    by: str
    read: Callable[[str], str]
    visits: Sequence[Visit]
    place: int = 0
    skipped: set[int] = field(default_factory=set)  # places
    reviewed: list[int] = field(default_factory=list)  # places of what was reviewed, in this order

    def run(self) -> None:
        """Ask about each visit."""
        self.names = SpeciesNames(self.config.species)
        self.writer: Writer = self.store.writer(build_composer(self.config), build_alert_engine(self.config))
        while self.place < len(self.visits) or self._goes_back():
            visit = self.visits[self.place]
            visit = self.store.visits.get(visit.visit_id) or visit  # it may have been answered, and come back to
            numbered = self._show(visit)
            while not self._take(visit, understand(self.read(PROMPT), numbered), numbered):
                pass

    def _goes_back(self) -> bool:
        """Ask after the last visit whether its answer stands; returns whether it was undone."""
        if not self.reviewed:
            return False
        answer = understand(self.read("that was the last one; u undo, Enter ends: "), ())
        return answer.kind is Kind.UNDO and self._undo()

    def _show(self, visit: Visit) -> list[str]:
        """Show a visit; returns the species that can be named by number."""
        zone = self.config.station.zone
        name, sure = best_guess(visit.verdict)
        out.print()
        out.print(
            f"[bold]{shown(name)}[/] {sure:.0%}  [dim]{self.place + 1} of {len(self.visits)}, {shown(visit.camera)},"
            f" {visit.start.astimezone(zone):%Y-%m-%d %H:%M:%S}, {shown(visit.visit_id)}[/]",
            soft_wrap=True,
        )
        moments = sorted(self.store.visits.moments(visit.visit_id), key=lambda one: one.sort_key, reverse=True)
        self._show_pictures(visit, [one for one in moments if one.crop is not None])
        numbered = [name for name, _ in visit.verdict.top if name.casefold() not in NO_SPECIES]
        probable = (f"{i} {name}" for i, name in enumerate(numbered, 1))
        if numbered:
            out.print(shown("  ".join(probable)), soft_wrap=True)
        return numbered

    def _show_pictures(self, visit: Visit, moments: Sequence[StoredMoment]) -> None:
        protocol = protocol_of(os.environ) if sys.stdout.isatty() else None
        if moments and moments[0].crop is not None and protocol is not None:
            sys.stdout.write(f"{picture_sequence(moments[0].crop, protocol)}\n")
            sys.stdout.flush()
        if not moments:
            out.print("  [dim]no picture is kept[/]")
            return
        out.print(f"  {shown(moments[0].crop)}", soft_wrap=True)
        clip = " and a clip" if visit.clip is not None else ""
        if clip or len(moments) > 1:
            more = f"{len(moments) - 1} more{clip}: birdwatchd show {visit.visit_id}"
            out.print(f"  [dim]{shown(more)}[/]", soft_wrap=True)

    def _take(self, visit: Visit, answer: Answer, numbered: list[str]) -> bool:
        """Do what was answered; returns whether the question is over. `numbered` becomes what is offered next."""
        if answer.kind is Kind.QUIT:
            raise EOFError
        if answer.kind is Kind.ASK_SPECIES:
            answer = understand(self.read(ASK_SPECIES), numbered)
            if answer.kind not in (Kind.SPECIES, Kind.NO_SUCH_NUMBER):
                return False
        if answer.kind in (Kind.SKIP, Kind.BACK, Kind.UNDO):
            return self._move(answer.kind)
        if answer.kind in (Kind.HELP, Kind.NO_SUCH_NUMBER):
            _explain(answer.kind, len(numbered))
            return False
        label = None
        if answer.kind is Kind.SPECIES:
            label = self._species(visit, answer.name, numbered)
            if label is None:
                return False
        verdict = {Kind.CONFIRM: ReviewVerdict.CONFIRM, Kind.NOT_A_BIRD: ReviewVerdict.NOT_A_BIRD}
        return self._review(visit, Review(verdict.get(answer.kind, ReviewVerdict.SPECIES), self.by, label))

    def _species(self, visit: Visit, text: str, numbered: list[str]) -> Label | None:
        """The one species that is meant; else says which ones could be."""
        found = self.names.find(text)
        if not found and text in numbered:  # a model of one's own has names that are in no table
            return Label(text)
        if len(found) == 1:
            return found[0]
        if not found:
            out.print(f"no species is called {shown(text)}; write the beginning of its name", soft_wrap=True)
            return None
        ranks: dict[str | None, int] = {name: i for i, (name, _) in enumerate(visit.verdict.top)}
        seen = {species for species, _ in self.store.species.names()}
        found.sort(  # what the network thought of, then what was seen here
            key=lambda label: (
                min(ranks.get(one, len(ranks)) for one in (label.common_name, label.english_name)),
                (label.scientific_name or label.common_name) not in seen,
            )
        )
        numbered[:] = [label.scientific_name or label.common_name for label in found[:MOST_NAMES]]
        for i, label in enumerate(found[:MOST_NAMES], 1):
            out.print(f"{i} {shown(label.common_name)} [dim]{shown(label.scientific_name or '')}[/]")
        if (more := len(found) - MOST_NAMES) > 0:
            out.print(f"[dim]and {more} more; write more of the name[/]")
        return None

    def _review(self, visit: Visit, review: Review) -> bool:
        try:
            after = self.writer.review(visit.visit_id, review, datetime.now(UTC))
        except StoreError as error:  # nothing to confirm, or the database is busy
            out.print(f"[yellow]{shown(error)}[/]", soft_wrap=True)
            return False
        out.print(f"→ [bold]{shown(name_of(after.verdict))}[/]")
        if after.revision > visit.revision:  # else it was said before, and there is nothing to undo
            self.reviewed.append(self.place)
        self.place += 1
        return True

    def _move(self, kind: Kind) -> bool:
        """Go to another visit, without a review of this one; returns whether there is one."""
        if kind is Kind.UNDO:
            return self._undo()
        if kind is Kind.BACK and not self.place:
            out.print("this is the first one")
            return False
        if kind is Kind.SKIP:
            self.skipped.add(self.place)
        self.place += 1 if kind is Kind.SKIP else -1
        return True

    def _undo(self) -> bool:
        if not self.reviewed:
            out.print("there is nothing to undo")
            return False
        place = self.reviewed[-1]
        try:
            before = self.writer.undo_review(self.visits[place].visit_id, datetime.now(UTC))
        except StoreError as error:
            out.print(f"[yellow]{shown(error)}[/]", soft_wrap=True)
            return False
        self.place = self.reviewed.pop()
        out.print(f"undone: [bold]{shown(name_of(before.verdict))}[/]")
        return True


def _explain(kind: Kind, numbers: int) -> None:
    """Say what can be answered, or which of so many numbers."""
    if kind is Kind.HELP:
        for line in HELP:
            out.print(shown(line))
        return
    listed = f"the numbers are 1 to {numbers}" if numbers > 1 else "the only number is 1"
    out.print(listed if numbers else "there is no list of numbers")
