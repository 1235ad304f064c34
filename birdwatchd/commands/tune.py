"""Show a person what the motion gate sees of one camera: start the process that watches, and report what came of it.

The stream is decoded in a process of its own (`birdwatchd.camera.tuning.main`), never in the command's: it may be a
stranger's.
"""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from birdwatchd.camera.process.spawn import ChildProcess, spawn
from birdwatchd.camera.process.wire import ChildFailed, TuneDone, WireError
from birdwatchd.commands.terminal import err, out, shown, too_small
from birdwatchd.errors import ConfigError, ExportError, SourceUnusable
from birdwatchd.flow import Stop
from birdwatchd.records import CameraStatus
from birdwatchd.service import stop_on_signals
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.whole_file import part_of

__all__ = ["KINDS", "TuneOptions", "run_tune"]

KINDS = (".png", ".jpg", ".jpeg", ".mp4")
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What to watch, how long, and where to write.

    Attributes:
        seconds: of the media for files, of watching for live sources.
        out: its suffix says what is written: a sheet (.png, .jpg) or a video (.mp4).
    """

    name: str
    settings: CameraSettings
    seconds: float
    out: Path


def run_tune(options: TuneOptions) -> int:
    """Watch and write; Ctrl-C ends the watching, and what was seen so far is still drawn.

    Raises:
        ConfigError: the suffix of the file is none that can be written.
        ExportError: it cannot be written, or the watching process died.
        SourceError: the source gave no picture.
    """
    if options.out.suffix.lower() not in KINDS:
        raise ConfigError(f"--out {options.out}: not an image or video file", f"end it in {', '.join(KINDS)}")
    part = _make(part_of(options.out), options.out)
    child = spawn(
        {
            "camera": options.name,
            "settings": options.settings.reveal() | {"decode": "cpu"},
            "seconds": options.seconds,
            "out": str(part),
        },
        "birdwatchd.camera.tuning.main",
        write=[str(part)],
    )
    stop = Stop()
    stop_on_signals(stop)  # sets a flag only: an exception could break off the reading of a record
    stop.armed = True
    threading.Thread(target=_draw_at_stop, args=(child, stop), daemon=True).start()
    try:
        done = _receive(child)
        if done is not None:
            os.replace(part, options.out)
    except ChildFailed as error:
        raise SourceUnusable(shown(str(error).replace(str(part), str(options.out)))) from None
    except WireError:
        done = None
    except OSError as error:  # a folder is in its place
        raise _unwritable(options.out, error) from None
    finally:
        child.kill()  # it has nothing more to say
        child.bury()
        part.unlink(missing_ok=True)
    if done is None:
        raise ExportError(
            f"{options.settings.source}: the process that watched it crashed",
            "try another file; see docs/how-to/tune-a-camera.md",
        )
    _show(done, options)
    return 0


def _make(part: Path, out: Path) -> Path:
    """Make the file that is to be written: the process that watches may write this one file, and make none.

    It gets its own name when it is whole.

    Raises:
        ExportError: it cannot be made.
    """
    try:
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        part.unlink(missing_ok=True)
        part.open("xb").close()
    except OSError as error:
        raise _unwritable(out, error) from None
    return part.absolute()


def _unwritable(out: Path, error: OSError) -> ExportError:
    return ExportError(f"{out}: cannot be written ({error.strerror})", "check the folder and the disk")


def _draw_at_stop(child: ChildProcess, stop: Stop) -> None:
    while not stop.wait(POLL_S):
        pass
    err.print("drawing what was seen so far")
    child.ask_to_stop()


def _receive(child: ChildProcess) -> TuneDone | None:
    """Show progress until the last word; None when the process ended without one.

    Raises:
        WireError: see `ChildProcess.receive`.
    """
    with err.status("watching") as status:
        while (item := child.receive(CameraStatus, TuneDone)) is not None:
            if isinstance(item, TuneDone):
                return item
            if isinstance(item, CameraStatus):
                progress = dict(item.extra)
                status.update(f"watching: {progress.get('media_s', 0):.0f} s, {progress.get('visits', 0):.0f} visits")
    return None


def _show(done: TuneDone, options: TuneOptions) -> None:
    reasons = ", ".join(f"{why} {count}" for why, count in done.ignored)
    seen = f"{done.seconds} s watched, {done.visits} visits; ignored: {reasons or 'nothing'}"
    out.print(shown(f"{options.out}: {seen}"), soft_wrap=True)
    out.print(shown(too_small(options.settings, done.width, done.height)), soft_wrap=True)
    if done.blind:
        err.print(shown(done.blind), soft_wrap=True)
    if done.problem:
        err.print(shown(f"it ended early: {done.problem}"), soft_wrap=True)
