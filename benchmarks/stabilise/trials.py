"""Make frames that are moved by a known shift: drawn or recorded scenes, noise, compression, a bird that hides much."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.scenery import paint_scenery

__all__ = ["COVERS", "SHIFTS", "Luma", "Scene", "Trial", "drawn_scene", "recorded_scene", "trials_of"]

Luma = NDArray[np.uint8]
SHIFTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0, 15.0)  # pixels of the source, in any direction
COVERS = (0.0, 0.1, 0.25, 0.5)  # share of the frame that a bird hides
REPEATS = 2  # directions of each shift
REFERENCE_FRAMES = 12  # whose mean is the background
NOISE = 2.7  # of the sensor, grey levels, standard deviation
CRF = 28  # of H.264
BORDER = 24  # pixels around the scene that a shift brings in


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene, with `BORDER` more pixels on each side than a frame shows."""

    name: str
    luma: Luma
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One frame, and the truth about it.

    Attributes:
        reference: mean of frames without shift and bird, float32 (height, width).
        dx, dy: by how many pixels the frame lies right of and below the reference.
        cover: share of the frame that the bird hides.
        coded: with noise and compression.
    """

    scene: Scene
    reference: NDArray[np.float32]
    frame: Luma
    dx: float
    dy: float
    cover: float
    coded: bool


def drawn_scene(seed: int, width: int = 960, height: int = 540) -> Scene:
    """A feeder before foliage, lawn and wall."""
    picture = paint_scenery(seed, width + 2 * BORDER, height + 2 * BORDER).still
    return Scene(f"drawn {seed}", np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8))


def recorded_scene(path: Path) -> Scene:
    """The first frame of a recording.

    Raises:
        OSError: it cannot be opened.
        ValueError: there is no picture in it.
    """
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
            even = luma[: luma.shape[0] & ~1, : luma.shape[1] & ~1]
            return Scene(path.name, np.ascontiguousarray(even), recorded=True)
    raise ValueError(f"{path}: no picture; give another recording")


def trials_of(scene: Scene, seed: int, *, coded: bool) -> Iterator[Trial]:
    """Every shift with every cover, of one scene."""
    chance = np.random.default_rng([seed, coded])
    truths = [
        (shift * math.cos(angle), shift * math.sin(angle), cover)
        for cover, shift, _ in itertools.product(COVERS, SHIFTS, range(REPEATS))
        for angle in [chance.uniform(0, 2 * math.pi)]
    ]
    still = [_seen(scene, 0.0, 0.0) for _ in range(REFERENCE_FRAMES)]
    frames = [*still, *(_with_bird(_seen(scene, dx, dy), cover, chance) for dx, dy, cover in truths)]
    if coded:
        frames = _coded([_noisy(frame, chance) for frame in frames])
    reference = np.asarray(np.mean(frames[:REFERENCE_FRAMES], axis=0), np.float32)
    for (dx, dy, cover), frame in zip(truths, frames[REFERENCE_FRAMES:], strict=True):
        yield Trial(scene, reference, frame, dx, dy, cover, coded)


def _seen(scene: Scene, dx: float, dy: float) -> Luma:
    """What the camera sees of a scene when it lies this far to the right and down."""
    matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
    size = (scene.luma.shape[1], scene.luma.shape[0])
    moved = cv2.warpAffine(scene.luma, matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved[BORDER:-BORDER, BORDER:-BORDER], np.uint8)


def _with_bird(frame: Luma, cover: float, chance: np.random.Generator) -> Luma:
    """A mottled oval, three wide to two high or higher where it would not fit, somewhere in the frame."""
    if not cover:
        return frame
    height, width = frame.shape
    across = min(0.98 * width, math.sqrt(1.5 * cover * width * height * 4 / math.pi))
    down = min(0.98 * height, cover * width * height * 4 / math.pi / across)
    left, top = chance.uniform(0, width - across), chance.uniform(0, height - down)
    mask = np.zeros(frame.shape, np.uint8)
    centre, axes = (round(left + across / 2), round(top + down / 2)), (round(across / 2), round(down / 2))
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, cv2.FILLED, cv2.LINE_AA)
    spots = cv2.GaussianBlur(chance.normal(0, 1, frame.shape).astype(np.float32), (0, 0), 5.0)
    plumage = np.clip(70 + 25 * spots / spots.std(), 0, 255)
    share = mask.astype(np.float32) / 255
    return np.asarray(np.rint(frame * (1 - share) + plumage * share), np.uint8)


def _noisy(frame: Luma, chance: np.random.Generator) -> Luma:
    return np.asarray(np.clip(np.rint(frame + chance.normal(0, NOISE, frame.shape)), 0, 255), np.uint8)


def _coded(frames: Sequence[Luma]) -> list[Luma]:
    """The frames as H.264 leaves them."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        video = container.add_stream("libx264", rate=10)
        video.height, video.width = frames[0].shape
        video.pix_fmt, video.options = "yuv420p", {"crf": str(CRF), "preset": "veryfast"}
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="gray")))
        container.mux(video.encode())
    file.seek(0)
    with av.open(file) as container:
        return [np.asarray(frame.to_ndarray(format="gray"), np.uint8) for frame in container.decode(video=0)]
