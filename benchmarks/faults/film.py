"""Draw the film that the cameras play, and say when which of its birds could be seen by a daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit

__all__ = ["BIRDS", "RARE", "WRITTEN_S", "Film", "Watched", "draw_film"]

BIRDS = ("Great tit", "Laughing dove", "House sparrow", "Eurasian hoopoe")
RARE = "Eurasian hoopoe"  # where it is not on the list of what is to be expected
FIRST_S = 3.0  # of the film no bird comes: motion detection learns the empty scene
STAY_S, EVERY_S = 2.0, 3.8
SIZE, FPS = (640, 360), 8
WRITTEN_S = 2.0  # a visit is in the database so long after its bird has gone, also on a busy machine


@dataclass(frozen=True, slots=True)
class Film:
    """A film in a file, and when its birds come and go, in seconds from its beginning."""

    path: Path
    birds: tuple[tuple[float, float], ...]
    seconds: float


def draw_film(folder: Path, birds: int) -> Film:
    """Draw a film with so many birds, one every four seconds, or find it drawn."""
    stays = tuple((FIRST_S + EVERY_S * n, FIRST_S + EVERY_S * n + STAY_S) for n in range(birds))
    film = Film(folder / f"film-{birds}.mp4", stays, FIRST_S + EVERY_S * birds + 1.0)
    if not film.path.exists():
        visits = tuple(
            ScheduledVisit(BIRDS[n % len(BIRDS)], since_s, until_s, perch=n % 4)
            for n, (since_s, until_s) in enumerate(stays)
        )
        part = film.path.with_name(f"part-{film.path.name}")
        write_clip(part, Scene(SceneSpec(5, *SIZE, FPS), visits), 0.0, film.seconds)
        part.rename(film.path)
    return film


@dataclass(slots=True)
class Watched:
    """When a camera was watched without a break. Times are seconds since the epoch.

    Attributes:
        began: when a client's film began, for each client.
        breaks: when a fault may have ended watching.
        again: when a client that lived on through a fault watches again.
    """

    began: Sequence[float]
    breaks: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)

    def birds(self, film: Film, ended_s: float, *, whole: bool = True) -> list[tuple[float, float]]:
        """When birds came and went, in order.

        Args:
            ended_s: when the last daemon was told to stop.
            whole: only birds that were watched from coming to going, and long enough for their visit to be written.
        """
        found = []
        begins = sorted(self.began)
        for number, begun_s in enumerate(begins):
            next_s = begins[number + 1] if number + 1 < len(begins) else ended_s
            found += [
                (begun_s + since_s, begun_s + until_s)
                for since_s, until_s in film.birds
                if not whole or self._is_whole(begun_s, begun_s + since_s, begun_s + until_s, min(next_s, ended_s))
            ]
        return found

    def _is_whole(self, begun_s: float, since_s: float, until_s: float, next_s: float) -> bool:
        since_break_s = max((at_s for at_s in (begun_s, *self.again) if at_s <= since_s), default=None)
        if since_break_s is None or until_s + WRITTEN_S > next_s:
            return False
        last_break_s = max((at_s for at_s in self.breaks if at_s <= since_s), default=float("-inf"))
        return last_break_s < since_break_s and not any(since_s < at_s < until_s + WRITTEN_S for at_s in self.breaks)
