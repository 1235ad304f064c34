"""Damage the headers of short recordings, and scan them as `birdwatchd scan` does: in one worker after the other.

The worker may die of a file: that costs this file and is counted as refused. What must not happen is that the main
process breaks, waits for ever, or hears of an error in more than one line.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.fuzz.inputs import Corpus, chance_of
from benchmarks.fuzz.run import MOST_BYTES, MOST_PROBLEMS, SLOW_S, Figures
from birdwatchd.address import Source
from birdwatchd.camera.process.scan_process import ScanProcess
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["KINDS", "MEDIA", "recording", "run_media"]

MEDIA = "media"
FRAMES, WIDTH, HEIGHT = 12, 96, 64
EACH = 250  # recordings between two lines of progress
ANSWERS = (  # what a scan says of recordings, as it is counted
    *("crashed the decoder", "hangs", "talk nonsense", "cut off", "cannot be read as video", "breaks off"),
    *("not one picture", "no video stream", "no decoder", "not supported", "is empty", "cannot be decoded"),
)
HEAD, TAIL = 1500, 2500  # bytes at the ends of a file, where headers and indexes are
# Suffix, format and encoder of what cameras and cards have.
KINDS = (
    ("mp4", "mp4", "libx264"),
    ("mov", "mov", "mpeg4"),
    ("mkv", "matroska", "libx264"),
    ("avi", "avi", "mjpeg"),
    ("ts", "mpegts", "libx264"),
    ("h264", "h264", "libx264"),
    ("mjpeg", "mjpeg", "mjpeg"),
    ("webm", "webm", "libvpx"),
    ("flv", "flv", "flv"),
    ("mpg", "mpeg", "mpeg1video"),
    ("mp4", "mp4", "libx265"),
)


def recording(path: Path, kind: str, encoder: str) -> bytes:
    """A short video of noise that moves, in one format."""
    chance = np.random.default_rng(1)
    with av.open(str(path), "w", format=kind) as container:
        quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        stream = container.add_stream(encoder, rate=25, options=quiet)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        stream.time_base = Fraction(1, 25)
        for number in range(FRAMES):
            picture = chance.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
            picture[:, : 4 * number] = 40
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def run_media(seed: int, first: int, count: int) -> Figures:
    """Scan damaged recordings; their figures, with the processor time and the memory of the workers."""
    with tempfile.TemporaryDirectory(prefix="birdwatchd-fuzz-") as folder:
        return _run(seed, first, count, Path(folder))


def _run(seed: int, first: int, count: int, folder: Path) -> Figures:
    corpora = [
        (suffix, Corpus((recording(folder / f"whole.{suffix}", kind, encoder),), (b"moov", b"mdat"), HEAD, TAIL))
        for suffix, kind, encoder in KINDS
    ]
    settings = CameraSettings(source=Source("/"), decode="cpu")
    worker, usual = ScanProcess("fuzz", settings, (folder,)), 0
    begun_s, accepted, refused, slowest_s, slowest, grown = time.monotonic(), 0, 0, 0.0, 0, 0
    problems: list[tuple[int, str]] = []
    said: Counter[str] = Counter()
    for number in range(first, first + count):
        if number > first and (number - first) % EACH == 0:
            so_far_s = time.monotonic() - begun_s
            print(f"  {number - first:,} of {count:,} recordings, {so_far_s:.0f} s", file=sys.stderr, flush=True)
        chance = chance_of(seed, MEDIA, number)
        suffix, corpus = chance.choice(corpora)
        path = folder / f"damaged.{suffix}"
        path.write_bytes(corpus.make(chance))
        pid, before_s = _pid(worker), _used_s(_pid(worker))
        try:
            done = worker.scan(str(path), lambda evidence: None, lambda status: None)
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            problems.append((number, f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"))
            if isinstance(error, KeyboardInterrupt):
                raise
            continue
        accepted, refused = accepted + (not done.error), refused + bool(done.error)
        said[_kind_of(done.error)] += 1
        if any(not letter.isprintable() for letter in done.error):
            problems.append((number, f"says {done.error[:200]!r}, which is not one line of text"))
        if "hangs the decoder" in done.error:
            problems.append((number, done.error))
        if _pid(worker) == pid and pid is not None:
            took_s, peak = _used_s(pid) - before_s, _peak_bytes(pid)
            usual = usual or peak
            grown = max(grown, peak - usual)
            if took_s > slowest_s:
                slowest_s, slowest = took_s, number
            if took_s > SLOW_S:
                problems.append((number, f"took {took_s:.1f} s of processor time"))
            if peak - usual > MOST_BYTES:
                problems.append((number, f"memory grew by {(peak - usual) / 2**20:.0f} MiB"))
                worker.close()  # so that the next one that is large is noticed too
        if len(problems) >= MOST_PROBLEMS:
            count = number + 1 - first
            break
    worker.close()
    for what, times in said.most_common():
        print(f"  {times:6,} {what}")
    seconds = time.monotonic() - begun_s
    return Figures(MEDIA, count, accepted, refused, slowest_s, slowest, grown, seconds, tuple(problems))


def _kind_of(error: str) -> str:
    """What kind of answer that was, for counting."""
    return next((what for what in ANSWERS if what in error), "read" if not error else error.partition(": ")[2][:60])


def _pid(worker: ScanProcess) -> int | None:
    child = worker._child
    return child.pid if child is not None else None


def _used_s(pid: int | None) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
