"""Know the scene of a recording before it is watched: from all of it, and from earlier recordings of the same folder.

A folder of clips that one camera made is one place. Where a bird sits from the first frame of a clip to its last, an
earlier clip may show the perch empty. What another camera wrote into the same folder shows another scene and is not
used (`motion/empty_scene.py` decides).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdwatchd.address import Source
from birdwatchd.camera.capture.preview import spread_frames
from birdwatchd.camera.motion.empty_scene import EmptyScene, empty_scene
from birdwatchd.camera.motion.grid import Grid
from birdwatchd.camera.neighbours import earlier_recordings
from birdwatchd.errors import SourceError
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Places", "RecordedPlace"]

KEPT_SCENES = 16  # of recordings that were watched; 1 MB each at 1080p


class Places:
    """The empty scenes of the recordings that were watched so far."""

    def __init__(self) -> None:
        self._scenes: OrderedDict[tuple[str, tuple[int, int], int], EmptyScene | None] = OrderedDict()
        self._folder: tuple[Path, int, list[str]] = (Path(), -1, [])

    def recording(self, settings: CameraSettings) -> RecordedPlace:
        """The place that the recording of these settings shows."""
        return RecordedPlace(self, settings)

    def scene(self, settings: CameraSettings, grid: Grid) -> EmptyScene | None:
        """The empty scene of a recording, learned now unless it is known; None where it cannot be."""
        key = _key(settings.source, grid)
        if key not in self._scenes:
            try:
                lumas = [luma for luma in spread_frames(settings.source, settings) if luma.shape[::-1] == key[1]]
            except SourceError:  # whoever scans that recording says so
                lumas = []
            self.remember(settings, grid, empty_scene([grid.frame(luma) for luma in lumas]))
        return self._scenes[key]

    def remember(self, settings: CameraSettings, grid: Grid, scene: EmptyScene | None) -> None:
        """Keep the scene of a recording that is being watched."""
        key = _key(settings.source, grid)
        self._scenes[key] = scene
        self._scenes.move_to_end(key)
        while len(self._scenes) > KEPT_SCENES:
            self._scenes.popitem(last=False)

    def names(self, folder: Path) -> list[str]:
        """The names of the files in a folder, sorted; none where it cannot be read."""
        try:
            changed = folder.stat().st_mtime_ns
            if self._folder[:2] != (folder, changed):
                self._folder = folder, changed, sorted(path.name for path in folder.iterdir())
        except OSError:
            return []
        return self._folder[2]


class RecordedPlace:
    """What is known of the scene of one recording, besides what is seen while it is watched.

    Attributes:
        seen_before: whether an earlier recording shows the same place; None until this one is watched, and where it is
            too short to tell.
    """

    def __init__(self, places: Places, settings: CameraSettings) -> None:
        self._places, self._settings = places, settings
        self.seen_before: bool | None = None

    def frames(self) -> Iterable[NDArray[np.uint8]]:
        """Luma planes, uint8 (height, width), of frames that are spread over it.

        Raises:
            SourceError: it cannot be opened.
        """
        return spread_frames(self._settings.source, self._settings)

    def earlier(self, grid: Grid) -> list[EmptyScene]:
        """The empty scenes of the recordings before it, the nearest first, on a grid."""
        path = Path(self._settings.source.location)
        found = []
        for before in earlier_recordings(path, self._places.names(path.parent)):
            settings = self._settings.model_copy(update={"source": Source(before.as_posix())})
            scene = self._places.scene(settings, grid)
            found += [scene] if scene is not None else []
        return found

    def remember(self, grid: Grid, scene: EmptyScene, *, seen_before: bool) -> None:
        """Keep what was learned of its scene for the recordings that come after it."""
        self.seen_before = seen_before
        self._places.remember(self._settings, grid, scene)


def _key(source: Source, grid: Grid) -> tuple[str, tuple[int, int], int]:
    return source.location, grid.frame_size, grid.cell
