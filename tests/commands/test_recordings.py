"""What is read of a folder or a card, and what is passed over and counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.commands import recordings
from birdwatchd.commands.recordings import find_recordings


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_a_card_as_it_comes_out_of_a_camera(tmp_path: Path) -> None:
    """A card that a Mac and a Windows machine have seen holds shadows and bins; half of the files fail to open else."""
    first = file(tmp_path / "DCIM/100RECNX/IMG_0001.MP4")
    second = file(tmp_path / "DCIM/101RECNX/IMG_0002.avi")
    for name in (
        "DCIM/100RECNX/._IMG_0001.MP4",
        ".Trashes/501/IMG_0001.MP4",
        "$RECYCLE.BIN/S-1-5-21/$R12.MP4",
        "System Volume Information/x.mp4",
        ".Trash-1000/files/old.mov",
        "@eaDir/IMG_0001.MP4/SYNOFILE_THUMB_M.mp4",
    ):
        file(tmp_path / name)
    for name in ("DCIM/100RECNX/IMG_0003.JPG", "DCIM/100RECNX/._IMG_0003.JPG", ".Trashes/501/IMG_0004.JPG"):
        file(tmp_path / name)
    file(tmp_path / "DCIM/100RECNX/IMG_0001.THM")
    found = find_recordings([tmp_path])
    assert found.recordings == [first, second]
    assert (found.passed_over, found.photos, found.problems) == (6, 1, [])
    assert [line.split(":")[0] for line in found.notices] == [
        "6 files are passed over",
        "1 photo is passed over",
    ]


def test_what_is_named_itself_is_read(tmp_path: Path) -> None:
    """Who takes a recording out of the bin by its name means it; so does who scans the bin."""
    deleted = file(tmp_path / ".Trashes/501/IMG_0001.MP4")
    assert find_recordings([deleted]).recordings == [deleted]
    assert find_recordings([deleted.parent]).recordings == [deleted]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence about a folder looks like a folder without birds."""

    def walk(folder: Path, onerror: Callable[[OSError], None]) -> list[Any]:
        onerror(PermissionError(13, "Permission denied", f"{folder}/DCIM"))
        return []

    monkeypatch.setattr(recordings.os, "walk", walk)  # type: ignore[attr-defined]
    found = find_recordings([tmp_path])
    assert (found.recordings, found.problems) == ([], [f"{tmp_path}/DCIM: Permission denied; check the card"])


def test_a_recording_that_is_named_twice_is_one(tmp_path: Path) -> None:
    """Each visit would else be there twice."""
    recording = file(tmp_path / "a.mp4")
    os.symlink(recording, tmp_path / "link.mp4")
    assert len(find_recordings([recording, tmp_path, tmp_path / "link.mp4"]).recordings) == 1
