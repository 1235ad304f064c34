"""Play recorded clips of one camera as a live RTSP camera to `birdwatchd run`, and compare with a scan of the clips.

A scan knows the whole recording before it looks at the first frame; live, every picture comes once, in its time. All
clips are joined into one stream, so where one ends and the next begins the picture jumps.
"""

from __future__ import annotations

import argparse
import csv
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import yaml

from benchmarks.real.clips import Clip, read_clips, today
from benchmarks.real.rtsp import RtspCamera, join
from benchmarks.real.sections import HEADINGS, with_section
from benchmarks.real.visits import Model, Seen, read_model, scan_clips
from birdwatchd.records import Verdict, Visit
from birdwatchd.species.verdict.best_moments import MOMENTS
from birdwatchd.store import StoreReader

__all__ = ["LiveVisit", "Played", "alone_section", "compare", "live_section", "play", "read_beginnings"]

START_S = 120.0  # to load a model on a busy machine and connect
STOP_S = 60.0
JUMP_S = 1.0  # a visit that begins so soon after a jump may be due to it


@dataclass(frozen=True, slots=True)
class LiveVisit:
    """A visit of the live camera; times are seconds of the joined recording.

    Attributes:
        best_s: when the pictures were taken that show most of a bird, of which its name is made.
    """

    start_s: float
    end_s: float
    verdict: Verdict
    best_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """One clip of the stream.

    Attributes:
        begins_with_bird: None where nobody knows.
        scanned, live: the verdicts of its visits; a live one counts for each clip in which a picture was taken that its
            name is made of.
        at_jump: how many live visits begin within a second of the clip's beginning.
        from_before: how many are open at the clip's beginning.
    """

    clip: Clip
    begins_with_bird: bool | None
    scanned: tuple[Verdict, ...]
    live: tuple[Verdict, ...]
    at_jump: int = 0
    from_before: int = 0

    def names(self, verdicts: Sequence[Verdict]) -> list[str]:
        """Today's scientific name of each species that is confirmed, in the order of the visits."""
        return [today(verdict.species) for verdict in verdicts if verdict.species]

    def is_right(self, verdicts: Sequence[Verdict]) -> bool:
        """Whether a visit is confirmed as a right species."""
        return any(name in self.clip.species for name in self.names(verdicts))


def play(recording: Path, seconds: float, model: Model, folder: Path) -> list[LiveVisit]:
    """Run birdwatchd with a live camera that plays a recording, until its end.

    Args:
        seconds: how long it lasts.
        folder: for home, configuration and `birdwatchd.log`.

    Raises:
        RuntimeError: the daemon did not connect, ended by itself or lost the stream; its log says more.
    """
    with RtspCamera.playing(recording) as camera:
        config = folder / "birdwatchd.yaml"
        settings = {
            "station": {"name": "live"},
            "home": str(folder / "home"),
            "model": {"file": str(model.file)},
            "web": False,
        }
        config.write_text(yaml.safe_dump(settings | {"cameras": {"feeder": {"source": camera.url}}}))
        argv = [sys.executable, "-m", "birdwatchd", "run", "-c", str(config)]
        with (folder / "birdwatchd.log").open("wb") as log:
            daemon = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        try:
            began_s = _until_the_end(camera, daemon, seconds)
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(STOP_S)
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
    with StoreReader.open_existing(folder / "home") as store:
        visits = [_live_visit(store, visit, began_s) for visit in store.visits.find()]
    return sorted((one for one in visits if one.start_s < seconds), key=lambda one: one.start_s)


def _live_visit(store: StoreReader, visit: Visit, began_s: float) -> LiveVisit:
    best = sorted(store.visits.moments(visit.visit_id), key=lambda one: one.sort_key, reverse=True)[:MOMENTS]
    end = visit.end or visit.last_seen or visit.start
    return LiveVisit(
        visit.start.timestamp() - began_s,
        end.timestamp() - began_s,
        visit.verdict,
        tuple(moment.at.timestamp() - began_s for moment in best),
    )


def _until_the_end(camera: RtspCamera, daemon: subprocess.Popen[bytes], seconds: float) -> float:
    """Wait; returns when the stream began, in seconds since the epoch."""
    latest_s = time.monotonic() + START_S
    while not camera.began and daemon.poll() is None and time.monotonic() < latest_s:
        time.sleep(0.1)
    if not camera.began:
        raise RuntimeError("birdwatchd did not connect; see birdwatchd.log")
    began_s = camera.began[0]
    while (left_s := began_s + seconds - time.time()) > 0:
        if daemon.poll() is not None:
            raise RuntimeError("birdwatchd ended before the recording; see birdwatchd.log")
        time.sleep(min(left_s, 1.0))
    if len(camera.began) > 1:
        raise RuntimeError("birdwatchd lost the stream and connected again; see birdwatchd.log")
    return began_s


def read_beginnings(table: Path) -> Mapping[str, bool]:
    """Whether a clip begins with a bird, by the name of its file.

    Args:
        table: CSV with the columns file, frame and bird_visible (1, 0, anything else: unclear, which counts as a bird).
    """
    first: dict[str, tuple[int, bool]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            sample = int(row["frame"]), row["bird_visible"] != "0"
            first[row["file"]] = min(first.get(row["file"], sample), sample)
    return {name: visible for name, (_, visible) in first.items()}


def compare(
    clips: Sequence[Clip],
    seconds: Sequence[float],
    live: Sequence[LiveVisit],
    scanned: Sequence[Seen],
    beginnings: Mapping[str, bool],
) -> list[Played]:
    """Tell the visits of each clip.

    Args:
        seconds: how long each clip lasts in the stream.
    """
    ends_s = list(accumulate(seconds))
    spans = list(zip([0.0, *ends_s[:-1]], ends_s, strict=True))
    played = []
    for number, (clip, (begins_s, end_s)) in enumerate(zip(clips, spans, strict=True)):
        mine = [one.verdict for one in live if any(begins_s <= at_s < end_s for at_s in one.best_s)]
        played.append(
            Played(
                clip,
                beginnings.get(clip.path.name),
                tuple(one.verdict for one in scanned if one.path == clip.path),
                tuple(mine),
                at_jump=sum(0 <= one.start_s - begins_s < JUMP_S for one in live) if number else 0,
                from_before=sum(one.start_s < begins_s < one.end_s for one in live),
            )
        )
    return played


def live_section(played: Sequence[Played]) -> str:
    """The section on clips that were played one after the other, without its heading."""
    lines = [
        _INTRO,
        "| clip | begins with a bird | scan: visits | confirmed | live: visits | confirmed | begun at the jump"
        " | open at the jump |",
        "|---|---|---:|---|---:|---|---:|---:|",
    ]
    lines += [f"| {' | '.join((*_cells(one), str(one.at_jump), str(one.from_before)))} |" for one in played]
    without = [one for one in played if one.begins_with_bird is False]
    lines += _in_sum("Clips that do not begin with a bird", without)
    lines += _in_sum("The others", [one for one in played if one not in without])
    begun, still_open = sum(one.at_jump for one in played), sum(one.from_before for one in played)
    jumps = len(played) - 1
    lines += ["", f"At the {jumps} jumps {begun} visits begin within a second, and {still_open} times one goes on."]
    return "\n".join(lines) + "\n"


def alone_section(played: Sequence[Played]) -> str:
    """The section on clips that were played alone, without its heading."""
    lines = [_ALONE, "| clip | begins with a bird | scan: visits | confirmed | live: visits | confirmed |"]
    lines += ["|---|---|---:|---|---:|---|", *(f"| {' | '.join(_cells(one))} |" for one in played)]
    lines += _in_sum("Clips", played)
    return "\n".join(lines) + "\n"


def _cells(one: Played) -> tuple[str, ...]:
    return (
        one.clip.name,
        {True: "yes", False: "no", None: "?"}[one.begins_with_bird],
        str(len(one.scanned)),
        _counted(one.names(one.scanned)),
        str(len(one.live)),
        _counted(one.names(one.live)),
    )


def _in_sum(title: str, part: Sequence[Played]) -> list[str]:
    found = sum(bool(one.live) for one in part)
    scan, live = sum(one.is_right(one.scanned) for one in part), sum(one.is_right(one.live) for one in part)
    wrong = sum(name not in one.clip.species for one in part for name in one.names(one.live))
    return [
        "",
        f"{title}: {len(part)}. Live, {found} have a visit. The right species is confirmed in {scan} by the scan"
        f" and in {live} live; {wrong} live visits are confirmed as another species.",
    ]


def _counted(names: Sequence[str]) -> str:
    return ", ".join(f"{name} ({names.count(name)})" for name in dict.fromkeys(names)) or "-"


_INTRO = """Written by

```sh
python -m benchmarks.real.live CLIPS.csv FOLDER --model FILE --only OWNER/NAME --presence PRESENCE.csv \\
    --markdown docs/measurements/real-footage.md
```

The clips of one camera, joined, are played once in real time by an RTSP server to `birdwatchd run` with default
settings. Where a clip ends the picture jumps to another minute or hour. The scan is that of the single clips. A live
visit counts for each clip in which one of the pictures was taken that its name is made of.
"""

_ALONE = """Written by the same command with `--alone`.

Each clip that does not begin with a bird is played to a `birdwatchd run` of its own, so there is no jump. What a live
camera learns of its scene it has to learn in the clip.
"""


def main(arguments: list[str] | None = None) -> None:
    """Join, play, scan, compare, print or write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real.live", description=__doc__)
    parser.add_argument("clips", type=Path, help="as for benchmarks.real")
    parser.add_argument("folders", type=Path, nargs="+", help="as for benchmarks.real")
    parser.add_argument("--model", type=Path, required=True, help="weights of a classifier in birder's format")
    parser.add_argument("--only", required=True, metavar="OWNER/NAME", help="the repository of one camera's clips")
    parser.add_argument("--presence", type=Path, help="CSV: file, frame, bird_visible (1, 0, ?)")
    parser.add_argument(
        "--alone", action="store_true", help="play each clip that does not begin with a bird to a daemon of its own"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep recordings, homes and logs here")
    parser.add_argument("--markdown", type=Path, help="write into this page instead of printing")
    given = parser.parse_args(arguments)
    clips = [one for one in read_clips(given.clips, given.folders) if one.name.startswith(f"{given.only}:")]
    beginnings = read_beginnings(given.presence) if given.presence else {}
    if given.alone:
        clips = [one for one in clips if beginnings.get(one.path.name) is False]
    if not clips:
        parser.error(f"no clip of {given.only} in {given.clips} can be played")
    model = read_model(given.model.resolve())
    with tempfile.TemporaryDirectory(prefix="birdwatchd-live-") as temporary:
        folder = (given.keep or Path(temporary)).resolve()
        parts = [[clip] for clip in clips] if given.alone else [clips]
        played = [
            one for number, part in enumerate(parts) for one in _played(part, model, folder / str(number), beginnings)
        ]
    heading, section = (HEADINGS[2], alone_section(played)) if given.alone else (HEADINGS[1], live_section(played))
    if given.markdown:
        earlier = given.markdown.read_text(encoding="utf-8") if given.markdown.exists() else ""
        given.markdown.write_text(with_section(earlier, heading, section), encoding="utf-8")
    else:
        print(section)


def _played(clips: Sequence[Clip], model: Model, folder: Path, beginnings: Mapping[str, bool]) -> list[Played]:
    """Some clips, as one recording, live and by a scan."""
    folder.mkdir(parents=True, exist_ok=True)
    recording = folder / "joined.mp4"
    seconds = join([clip.path for clip in clips], recording)
    live = play(recording, sum(seconds), model, folder)
    return compare(clips, seconds, live, scan_clips([clip.path for clip in clips], model), beginnings)


if __name__ == "__main__":
    main()
