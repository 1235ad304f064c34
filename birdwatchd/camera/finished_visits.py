"""Find the visits in one video file, in this process: the shortest way from a recording to pictures of its birds.

`birdwatchd scan` does the same in a process of its own, which a damaged file may crash. This is for programs that use
birdwatchd as a library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from birdwatchd.address import Source
from birdwatchd.camera.process.observed_stream import ObservedStream
from birdwatchd.errors import SourceError
from birdwatchd.records import Evidence, Moment
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["watch_file"]


def watch_file(path: Path | str, settings: CameraSettings | None = None, *, camera: str = "file") -> Iterator[Evidence]:
    """Give every visit in a video file as soon as it is over, in the order in which they end.

    Args:
        path: a file in any format that libav reads; it is decoded on the CPU, as fast as that goes.
        settings: smallest bird, places to ignore and so on; `source` is replaced by `path`. The usual ones by default.
        camera: key of the camera, for the evidence.

    Yields:
        Evidence of one finished visit with all of its moments (JPEG crops), seconds from the start of the file
        (`start_s`, `end_s`) and the most birds at once. Times of day are those that the file says, if it does.

    Raises:
        SourceUnusable: it is no video, or breaks off. The visits until then are given first.
    """
    source = Source(str(Path(path).absolute()))  # absolute: a name such as `rtsp:x.mp4` is a file too
    chosen = CameraSettings(source=source) if settings is None else settings.model_copy(update={"source": source})
    stream = ObservedStream(camera, chosen, str(path))
    known: dict[str, tuple[Moment, ...]] = {}
    problem: SourceError | None = None
    try:
        with closing(stream.frames()) as frames:
            for _, evidence in frames:
                yield from _finished(evidence or (), known)
    except SourceError as error:
        problem = error
    yield from _finished(stream.finish(), known)
    if problem is not None:
        raise problem


def _finished(evidence: Sequence[Evidence], known: dict[str, tuple[Moment, ...]]) -> Iterator[Evidence]:
    """The visits that are over, with the moments of all their revisions; the others' moments are kept in `known`."""
    for item in evidence:
        moments = known.pop(item.visit_id, ()) + item.moments
        if item.end is None:
            known[item.visit_id] = moments
        else:
            yield replace(item, moments=moments)
