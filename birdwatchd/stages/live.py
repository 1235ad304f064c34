"""Hand the page what a camera shows now, and why birds can hardly be seen there.

Whoever asks for a picture lets the camera's process make the next one.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from birdwatchd.camera.process.live_views import LiveViews
from birdwatchd.monitor.local_socket import BLIND, Answers
from birdwatchd.monitor.vitals import Vitals

__all__ = ["answer_live", "live_answers"]


def live_answers(vitals: Vitals, views: Mapping[str, LiveViews]) -> Answers:
    """What answers each question at the socket for live pictures."""
    return {"live": partial(answer_live, views), BLIND: partial(_answer_blind, vitals)}


def _answer_blind(vitals: Vitals, request: bytes) -> Iterator[dict[str, Any]]:
    """A line for each camera: why birds can hardly be seen there; null while they can, and while it is not known."""
    del request
    yield from ({"camera": camera, "blind": vitals.blindness_of(camera)} for camera in vitals.cameras)


def answer_live(views: Mapping[str, LiveViews], request: bytes) -> Iterator[dict[str, Any]]:
    """The newest live view of a camera, at once; where it is older than a second, the next question finds another one.

    Args:
        views: of each camera that is watched, by its key.
        request: the key of a camera, and after a blank the number of the picture that is known already.

    Yields:
        One line: `problem`, or `number`, `age_s` and what the gate sees, with the `jpeg` where it is not known yet;
        nothing in it while there is no picture yet.
    """
    key, _, known = request.decode("utf-8", "replace").partition(" ")
    if key not in views:
        yield {"problem": "This camera is not watched."}
        return
    if not views[key].allowed:
        yield {"problem": "No picture of this camera is kept or shown (store: nothing)."}
        return
    live = views[key].look()
    if live is None:
        yield {}
        return
    view, new = live.view, known != str(live.number)
    yield {
        "number": live.number,
        "age_s": live.age_s,
        "width": view.width,
        "height": view.height,
        "state": view.state,
        "regions": [box.rounded() for box in view.regions],
        "ignored": [[box.rounded(), why] for box, why in view.ignored],
        "tracks": [[box.rounded(), confirmed] for box, confirmed in view.tracks],
        "part": list(view.part),
        "jpeg": b64encode(view.jpeg).decode() if new else None,
    }
