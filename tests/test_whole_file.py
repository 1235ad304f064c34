"""Files that a command writes for a person are whole or are not there, on a full disk too."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from birdwatchd.whole_file import part_of, write_new, write_whole
from tests.support.small_disk import fill, small_disk

BIG = bytes(200_000)


def test_a_full_disk_leaves_the_old_file_or_none(tmp_path: Path) -> None:
    """Half a file is worse than none: it is in the way of the next attempt."""
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        (disk / "old").write_text("as it was")
        (disk / "empty").touch()
        fill(disk, leave=50_000)
        for name in ("old", "new"):
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                write_whole(disk / name, BIG, old=disk / "kept")
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write_new(disk / "new", BIG)
        assert (disk / "old").read_text() == "as it was"
        assert {path.name for path in disk.iterdir()} == {"old", "empty", "somebody-elses.log"}


def test_a_new_file_never_replaces_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a memory card, which has no hard links."""

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    for place in ("disk", "card"):
        write_new(tmp_path / place, b"first")
        with pytest.raises(FileExistsError):
            write_new(tmp_path / place, b"second")
        assert (tmp_path / place).read_bytes() == b"first"
        monkeypatch.setattr(os, "link", no_links)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("links", [True, False])
def test_a_file_whose_old_text_is_kept_is_never_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """systemd may read a unit while it is replaced, and the power may fail between two steps."""
    path, old = tmp_path / "unit", tmp_path / "unit.old"
    path.write_text("mine")
    path.chmod(0o640)
    seen: list[str] = []

    def watched(operation: Callable[..., None]) -> Callable[..., None]:
        def then_look(*arguments: object, **options: object) -> None:
            if operation is real_link and not links:
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            operation(*arguments, **options)
            seen.append(path.read_text())

        return then_look

    real_link = os.link
    for name in ("replace", "rename", "link"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    write_whole(path, b"ours", old=old)
    assert (path.read_text(), old.read_text(), stat.S_IMODE(old.stat().st_mode)) == ("ours", "mine", 0o640)
    assert seen[0] == "mine"
    assert seen[-1] == "ours"
    path.unlink()
    real_link(old, path)  # what a process that was killed between both steps leaves
    write_whole(path, b"ours", old=old)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"unit": "ours", "unit.old": "mine"}


def test_permissions_are_those_that_were_asked_for(tmp_path: Path) -> None:
    """A password is private whatever the umask says; a picture is whoever's the umask says."""
    before = os.umask(0)
    try:
        write_new(tmp_path / "password", b"", 0o600)
        os.umask(0o027)
        write_whole(tmp_path / "unit", b"", 0o644)
        write_whole(tmp_path / "picture", b"")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"password": 0o600, "unit": 0o644, "picture": 0o640}


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """The next attempt begins anew."""
    part_of(tmp_path / "report.zip").write_bytes(BIG)
    write_whole(tmp_path / "report.zip", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["report.zip"]
