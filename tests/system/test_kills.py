"""The whole daemon, killed with SIGKILL at random points of its life: all is told, in order, and nothing is left over.

`BIRDWATCHD_KILLS=50` kills more often, and starts every fifth daemon as a user does, which takes ten seconds more.
`BIRDWATCHD_SEED` gives other points. Between daemon and broker lies a long line; what is under way on it at the kill
is lost. What `tests/mqtt/test_week.py` does to the telling part (cut wires, broker restarts) is not repeated here.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.demo.cameras.feeder import write_clip
from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from tests.support.accounts import Heard, Left, begin, check_events, check_left, check_states, files, retained
from tests.support.lives import Home, Life, Nursery, Orphans, wait_until_idle
from tests.support.mqtt import Subscriber
from tests.support.peers import Mosquitto, wait_for
from tests.support.slow_wire import SlowWire, Snare

log = logging.getLogger(__name__)
KILLS = int(os.environ.get("BIRDWATCHD_KILLS", "6"))
SEED = int(os.environ.get("BIRDWATCHD_SEED", "2026"))
TYPED_EVERY = 5  # of the daemons; the others are forked (see forked_daemon.py)
START_S = 10.0  # importing takes about so long
DELAY_S = 0.03  # between daemon and broker, in each direction
ORPHAN_S = 15.0  # one that is just starting must first have started, on a busy machine
KEYS = ("one", "two")
BIRDS = ("Great tit", "Eurasian hoopoe", "Laughing dove")
POINTS = ("opening", "watching", "naming", "sending", "acknowledging", "stopping")


@dataclass
class World:
    """Everything that has to be closed in the end, in order."""

    folder: Path
    things: list[Any] = field(default_factory=list)

    def later(self, thing: Any) -> Any:
        self.things.append(thing)
        return thing

    def close(self) -> None:
        for thing in reversed(self.things):
            (thing.stop if isinstance(thing, Mosquitto) else thing.close)()


@dataclass(frozen=True)
class Story:
    """What there is when the last daemon has ended."""

    world: World
    home: Home
    broker: Mosquitto
    wire: SlowWire
    nursery: Nursery
    heard: Heard
    kept: dict[str, bytes]
    stopped: datetime
    left: list[tuple[str, Left]]
    orphans: list[Orphans]
    strays: set[str]
    took_s: float


def cameras(folder: Path) -> dict[str, Any]:
    """Two cameras at which birds come soon and often."""
    film = folder / "film.mp4"
    birds = tuple(ScheduledVisit(BIRDS[n], 1.8 + 3.8 * n, 3.8 + 3.8 * n, perch=n) for n in range(3))
    write_clip(film, Scene(SceneSpec(5, 640, 360, 8), birds), 0.0, 24.0)  # who is left behind must not end with it
    return {key: {"source": str(film), "min_bird": 16, "clips": True, "post_roll_s": 1} for key in KEYS}


def die(life: Life, point: str, chance: random.Random, wire: SlowWire, *, alone: bool) -> Orphans:
    """Let it come so far, and a random moment further, and kill it, with or without its camera processes."""
    further_s = 0.0
    if point == "importing":
        until = time.monotonic() + chance.uniform(0.0, START_S)
        life.wait_until(lambda: time.monotonic() > until or "model demo@" in life.log, "the time to kill")
    else:
        life.until_it_opens_the_database()
    if point in ("creating", "opening"):
        further_s = chance.uniform(0.0, 0.3 if point == "creating" else 1.2)
    if point in ("watching", "naming", "sending", "acknowledging", "stopping"):
        known = life.home.count("visit")
        life.until_it_watches()
        if point == "watching":
            further_s = chance.uniform(0.0, 2.5)
        elif point in ("sending", "acknowledging"):  # a message never arrives, or its PUBACK does not
            snare = wire.lay(Snare(answers=point == "acknowledging"))
            life.wait_until(snare.caught.is_set, "a message about a visit")
            further_s = chance.uniform(0.6, 1.2)  # time enough to forget what was sent
        else:
            life.until_it_writes(f"(SELECT 1 FROM visit LIMIT 1 OFFSET {known})")
    if point == "naming":
        further_s = chance.uniform(0.0, 1.5)
    if point == "stopping":
        time.sleep(chance.uniform(0.0, 1.0))
        life.terminate()
        further_s = chance.uniform(0.0, 1.5)
    time.sleep(further_s)
    wire.lose()
    return life.kill(alone=alone)


def points(chance: random.Random) -> Iterator[str]:
    """Where to kill: first where nothing is there yet, then everywhere, in no order."""
    yield from ("importing", "creating")
    while True:
        yield from chance.sample(POINTS, len(POINTS))


def live_to_the_end(life: Life, home: Home) -> datetime:
    """See one more bird, come to rest, and stop."""
    known = home.count("visit")
    life.until_it_writes(f"(SELECT 1 FROM visit WHERE ended_at IS NOT NULL LIMIT 1 OFFSET {known})")
    wait_until_idle(home)
    life.terminate()
    assert life.status() == 0, life.log
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Kill the daemon again and again, and let the last one come to rest."""
    world = World(tmp_path_factory.mktemp("kills"))
    try:
        yield _story(world)
    finally:
        world.close()


def _story(world: World) -> Story:
    began, chance = time.monotonic(), random.Random(SEED)
    broker = world.later(Mosquitto(world.folder))
    broker.start()
    nursery = world.later(Nursery())
    listener = world.later(Subscriber(broker.port, "#", "patient", keep=True))
    wire = world.later(SlowWire(broker.port, DELAY_S))
    home = Home(world.folder, cameras=cameras(world.folder), mqtt={"url": wire.url})
    left: list[tuple[str, Left]] = []
    orphans: list[Orphans] = []
    for number, point in zip(range(KILLS), points(chance), strict=False):
        typed = number % TYPED_EVERY == 0 and (KILLS > 8 or point == "importing")
        start: Callable[..., Any] = nursery.typed if typed else nursery.forked
        orphans.append(die(world.later(Life(home, start)), point, chance, wire, alone=number % 2 == 1))
        log.info("%d: %s, %.1f s", number, point, time.monotonic() - began)
        if point == "creating":
            begin(home)
        elif point != "importing":
            left.append((point, check_left(home)))
    for one in orphans:
        one.check(ORPHAN_S)
    stopped = live_to_the_end(world.later(Life(home, nursery.forked)), home)
    strays = files(home)
    late = world.later(Subscriber(broker.port, "#", "late"))
    late.client.publish("that is all", qos=1)
    for one in (listener, late):
        wait_for(partial(one.payloads, "that is all"), "all that was said", 30)
    took_s, heard, kept = time.monotonic() - began, list(listener.got), retained(late.got)
    return Story(world, home, broker, wire, nursery, heard, kept, stopped, left, orphans, strays, took_s)


@pytest.mark.timeout(200 + 40 * KILLS)
def test_a_killed_daemon_has_told_everything_in_the_end(story: Story) -> None:
    """Power cuts and the out-of-memory killer take the whole daemon: no bird may be lost, told wrongly or for ever."""
    check_left(story.home)
    events, repeats = check_events(story.home, story.heard)
    check_states(story.home, story.kept, KEYS, story.stopped)
    assert retained(story.heard) == story.kept
    held = [left for _, left in story.left]
    print(f"{KILLS} kills, seed {SEED}, {story.took_s:.1f} s: {dict(Counter(point for point, _ in story.left))},")
    print(f"{sum(bool(one.unsent) for one in held)} with unsent messages, {sum(bool(one.open_visits) for one in held)}")
    print(f"with open visits, {sum(bool(one.strays) for one in held)} with stray files; {events} messages about")
    print(f"{story.home.count('visit')} visits, {repeats} repeated")


def test_a_killed_daemon_leaves_nothing_behind(story: Story) -> None:
    """Camera processes without a master would hold cameras, memory and processors for ever."""
    outlived = [one.outlived_s for one in story.orphans if one.left_behind]
    assert outlived, "nobody was left behind: the test proves nothing"
    named = {name for (name,) in story.home.rows("SELECT crop FROM moment UNION SELECT clip FROM visit")}
    unnamed = {name for name in story.strays - named if not name.endswith(".mp4")}  # a clip has an hour to be named
    assert not unnamed, "the next start did not sweep"
    assert "Traceback" not in story.home.log_file.read_text()
    print(f"{len(outlived)} times camera processes were left behind, at most for {max(outlived):.1f} s")


def test_a_camera_that_is_taken_out_leaves_no_ghost(story: Story) -> None:
    """A retained message outlives its camera in every Home Assistant for ever, unless somebody takes it away."""
    home, watcher = story.home, story.world.later(Subscriber(story.broker.port, "#", "watcher"))
    kept = {topic for topic in story.kept if not of_second(topic)}
    wait_for(lambda: set(retained(watcher.got)) == set(story.kept), "what is retained")
    assert len(set(story.kept) - kept) >= 6
    home.configure(cameras={"one": home.settings["cameras"]["one"]})
    life = story.world.later(Life(home, story.nursery.forked))
    life.wait_until(lambda: any(of_second(topic) and not payload for topic, payload, _ in watcher.got), "a removal")
    story.wire.lose()
    life.kill(alone=False).check(ORPHAN_S)  # in the middle of it
    life = story.world.later(Life(home, story.nursery.forked))
    life.wait_until(lambda: not [topic for topic in retained(watcher.got) if of_second(topic)], "the ghosts to go")
    life.wait_until(lambda: not home.count("announced WHERE topic LIKE '%two/%'"), "the notes to be struck out")
    life.until_it_watches()
    life.terminate()
    assert life.status() == 0, life.log
    late = story.world.later(Subscriber(story.broker.port, "#", "later still"))
    wait_for(lambda: kept <= set(retained(late.got)), "what is retained still")
    assert set(retained(late.got)) == kept


def of_second(topic: str) -> bool:
    """Whether a topic belongs to the camera that is taken out."""
    return "/two/" in topic or topic.endswith("_two/config")
