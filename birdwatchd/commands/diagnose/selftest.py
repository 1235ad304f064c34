"""`birdwatchd selftest`: send a drawn bird through the running daemon and say how far it came."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.process.wire import encode
from birdwatchd.commands.terminal import err, out, shown
from birdwatchd.monitor.local_socket import NobodyAnswers, ask
from birdwatchd.records import TEST_CAMERA, Box
from birdwatchd.settings.config import Config
from birdwatchd.store.store import recording_process

__all__ = ["STEPS", "run_selftest"]

SILENT_S = 90.0  # longer than any step of the daemon's may take
STEPS = ("daemon", "crop", "camera", "classify", "verdict", "record", "publish")
DEMO = "demo@"  # how the id of the demo's model begins, which knows the bird that is drawn


def run_selftest(config: Config, draw: Callable[[], tuple[NDArray[np.uint8], Box, str]], *, as_json: bool) -> int:
    """Print each step as it is done, and where the test stopped; 0 if the bird came through, else 1.

    Args:
        draw: gives a picture, the place of the bird in it, and its species.
    """
    steps = []
    for step in _steps(config.home, draw):
        steps.append(step)
        if not as_json:
            _print(step)
    passed = all(step["ok"] for step in steps) and steps[-1]["step"] == STEPS[-1]
    stopped = "" if passed else steps[-1]["step"]
    if as_json:
        line = {"passed": passed, "stopped_at": stopped or None, "steps": steps}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    elif passed:
        out.print("[green]the bird came through[/]; it is in no list, and no channel was notified")
    else:
        left = ", ".join(STEPS[STEPS.index(stopped) + 1 :]) or "nothing"
        err.print(f"[bold red]stopped at {shown(stopped)}[/]; not reached: {left}", soft_wrap=True)
    return 0 if passed else 1


def _steps(home: Path, draw: Callable[[], tuple[NDArray[np.uint8], Box, str]]) -> Iterator[dict[str, Any]]:
    from birdwatchd.camera.still import evidence_of_still  # PyAV and OpenCV

    rgb, box, species = draw()
    evidence = evidence_of_still(rgb, box, TEST_CAMERA, datetime.now(UTC))
    crop = evidence.moments[0].crop
    lines = ask(home, "selftest", encode(evidence), timeout_s=SILENT_S)
    try:
        first = next(lines)
    except NobodyAnswers as why:
        yield {"step": "daemon", "ok": False, "text": _no_daemon(home, why)}
        return
    yield {"step": "daemon", "ok": True, "text": f"answers at {home}"}
    facts = f"a drawn {species}, cut out of {rgb.shape[1]}×{rgb.shape[0]} pixels: {crop.width}×{crop.height}"
    yield {"step": "crop", "ok": True, "text": f"{facts}, JPEG of {len(crop.jpeg) / 1000:.1f} kB"}
    model, step = "", first
    while True:
        if "step" not in step:
            yield {"step": "daemon", "ok": False, "text": str(step.get("problem", "it gave no answer"))}
            return
        model = step["text"] if step["step"] == "classify" else model
        if step["step"] == "verdict" and model.startswith(DEMO) and step.get("name") != species:
            step = step | {"ok": False, "text": f"{step['text']}; the demo's model knows it as {species}"}
        yield step
        if not step["ok"]:
            return
        try:
            step = next(lines)
        except StopIteration:
            return
        except NobodyAnswers as why:
            yield {"step": STEPS[min(STEPS.index(step["step"]) + 1, len(STEPS) - 1)], "ok": False, "text": str(why)}
            return


def _no_daemon(home: Path, why: NobodyAnswers) -> str:
    """Why nobody answers, and what to do."""
    if owner := recording_process(home):
        return f"{home} is used by birdwatchd {owner}, but {why}: it is starting or stopping, or is no `run`"
    if "no daemon" in str(why):
        return f"no daemon runs with the home {home}; start it: birdwatchd run"
    return f"{home}: {why}"


def _print(step: dict[str, Any]) -> None:
    mark = "[green]ok[/]   " if step["ok"] else "[bold red]fails[/]"
    out.print(f"{mark}  {shown(step['step']):<9} {shown(step['text'])}", soft_wrap=True)
