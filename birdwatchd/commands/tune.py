"""Show a person what the motion gate sees of one camera: start the process that watches, and say what came of it.

The stream is decoded in a process of its own (`birdwatchd.camera.tuning.main`), never in the command's: it may be a
stranger's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from birdwatchd.camera.process.supervisor import close_stdin, spawn
from birdwatchd.commands.terminal import err, out, shown
from birdwatchd.errors import ConfigError, ExportError, SourceUnusable
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["KINDS", "TuneOptions", "run_tune"]

KINDS = (".png", ".jpg", ".jpeg", ".mp4")
MOST_LINE = 2**16  # bytes of one line that the watching process may say


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
        raise ConfigError(f"--out {options.out}: is no picture or video", f"end it in {', '.join(KINDS)}")
    order = {
        "camera": options.name,
        "name": options.name,
        "settings": options.settings.reveal(),
        "seconds": options.seconds,
        "out": str(options.out.absolute()),
    }
    process = spawn(order, "birdwatchd.camera.tuning.main")
    assert process.stdout is not None
    try:
        last = _listen(process.stdout)
    except KeyboardInterrupt:
        err.print("drawing what was seen so far")
        close_stdin(process)
        last = _listen(process.stdout)
    close_stdin(process)
    process.wait()
    process.stdout.close()
    return _tell(last, options)


def _listen(stream: IO[bytes]) -> dict[str, object]:
    """Read progress until the last word; empty when the process ended without one."""
    with err.status("watching") as status:
        while line := stream.readline(MOST_LINE):
            try:
                said = json.loads(line)
                if said["kind"] != "progress":
                    return dict(said)
                status.update(f"watching: {float(said['seconds']):.0f} s, {int(said['visits'])} visits")
            except (ValueError, KeyError, TypeError):
                return {}
    return {}


def _tell(last: dict[str, object], options: TuneOptions) -> int:
    if last.get("kind") == "failed":
        message = str(last.get("error", ""))
        raise SourceUnusable(shown(message))
    if last.get("kind") != "done":
        raise ExportError(
            f"{options.settings.source}: the process that watched it died",
            "try another file; see docs/how-to/tune-a-camera.md",
        )
    ignored = last.get("ignored")
    reasons = ", ".join(f"{why} {count}" for why, count in ignored.items()) if isinstance(ignored, dict) else ""
    seen = f"{last.get('seconds')} s watched, {last.get('visits')} visits; ignored: {reasons or 'nothing'}"
    out.print(shown(f"{options.out}: {seen}"), soft_wrap=True)
    if last.get("problem"):
        err.print(shown(f"it ended early: {last['problem']}"), soft_wrap=True)
    return 0
