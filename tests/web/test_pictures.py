"""Small pictures are made once, kept on the disk within a bound, and never outlive or outdate their crop."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from birdwatchd.commands.keep.backup import run_backup
from birdwatchd.commands.keep.doctor import run_doctor
from birdwatchd.records import new_visit_id
from birdwatchd.settings.config import Config
from birdwatchd.store.media import CACHE, Media, forget_made, made_path
from birdwatchd.testing import START, example_moment, example_visit, temporary_store
from birdwatchd.web.pictures import small
from birdwatchd.web.pictures.kept import KeptPictures
from birdwatchd.web.pictures.small import SmallPictures
from tests.support.page import browser

VISIT = "01JTJC2Q8ZK4V7XW5N3M9R6BDA"
CROP = f"media/nut/2026/05/01/{VISIT}-0.jpg"
KIND = "160.webp"


def picture(side: int = 400, colour: str = "green") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(written, "JPEG")
    return written.getvalue()


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        store.writer().record(example_visit(VISIT), [example_moment(jpeg=picture())], START)
        yield store.home


def pictures(home: Path) -> SmallPictures:
    """As a process of the page begins."""
    media = Media(home)
    return SmallPictures(media, KeptPictures(media))


def made(home: Path) -> list[str]:
    files = (name for _, _, names in os.walk(home / CACHE) for name in names)  # others may tidy meanwhile
    return sorted(name for name in files if name.endswith(".webp"))


def test_a_picture_is_made_small_once_for_all_processes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is started again each night; it must not make ten thousand pictures each morning."""
    first = pictures(home).of(CROP, "160")
    assert first is not None
    with Image.open(io.BytesIO(first)) as image:
        assert (image.format, image.size) == ("WEBP", (160, 160))
    monkeypatch.setattr(small, "_smaller", lambda *_: pytest.fail("made again"))
    assert pictures(home).of(CROP, "160") == first
    answer = browser(home).get(f"/visits/{VISIT}/pictures/0?size=160")
    assert (answer.body, answer.headers["content-type"]) == (first, "image/webp")


def test_a_crop_that_changed_is_made_small_again(home: Path) -> None:
    """A restored backup may bring another picture under the same name."""
    kept = pictures(home)
    before = kept.of(CROP, "320")
    (home / CROP).write_bytes(picture(colour="red"))
    os.utime(home / CROP, (1, 1))
    after = kept.of(CROP, "320")
    assert before != after
    assert after == pictures(home).of(CROP, "320")


def test_nothing_is_left_of_a_picture_that_is_gone(home: Path) -> None:
    """Who deletes a picture of a person wants it gone: through the store, by hand, or hidden by `store: nothing`."""
    for size in small.SIZES:
        assert pictures(home).of(CROP, size)
    assert len(made(home)) == 2
    private = Media(home, {"nut"})
    assert SmallPictures(private, KeptPictures(private)).of(CROP, "160") is None
    assert made(home) == []
    assert pictures(home).of(CROP, "160")
    Media(home).remove_crop(CROP)
    assert made(home) == []


def test_what_was_deleted_by_hand_is_found(home: Path) -> None:
    """Nobody may ever ask for it again: the look around finds it, and folders that are empty, and what was cut off."""
    assert pictures(home).of(CROP, "160")
    stray = made_path(home, CROP, KIND).with_name(".x.part")
    stray.write_bytes(b"")
    os.utime(stray, (1, 1))
    (home / CROP).unlink()
    KeptPictures(Media(home)).tidy()
    assert [path for path in (home / CACHE).rglob("*") if path.is_file() and path.name != "CACHEDIR.TAG"] == []
    for folder, _, _ in os.walk(home / CACHE, topdown=False):
        os.utime(folder, (1, 1))
        KeptPictures(Media(home)).tidy()
    assert [path for path in (home / CACHE).rglob("*") if path.name != "CACHEDIR.TAG"] == []


def test_the_one_used_longest_ago_goes_first(home: Path) -> None:
    """A bound on the disk, also across a restart; what people look at stays."""
    media, crops = Media(home), []
    for number in range(4):
        crop = f"media/nut/2026/05/01/{new_visit_id(START, number)}-0.jpg"
        media.write(crop, picture())
        crops.append(crop)
    most = {KIND: 3, "320.webp": 3, "why.jpg": 3}
    kept = KeptPictures(media, most)
    for number, crop in enumerate(crops[:3]):
        assert kept.put(crop, KIND, b"RIFF\4\0\0\0WEBP", media.version(crop) or 0)
        os.utime(made_path(home, crop, KIND), ns=((number + 1) * 10**9, media.version(crop) or 0))
    restarted = KeptPictures(media, most)
    restarted.tidy()
    assert restarted.get(crops[0], KIND) is not None  # now the newest
    restarted.put(crops[3], KIND, b"RIFF\4\0\0\0WEBP", media.version(crops[3]) or 0)
    assert [made_path(home, crop, KIND).exists() for crop in crops] == [True, False, True, True]
    assert made_path(home, crops[0], KIND).stat().st_atime > 10**9  # and a restart knows


def test_a_file_that_a_power_cut_left_is_made_again(home: Path) -> None:
    """Half a picture would be shown for ever."""
    whole = pictures(home).of(CROP, "160")
    assert whole is not None
    path = made_path(home, CROP, KIND)
    for left in (b"", whole[:-5]):
        path.write_bytes(left)
        os.utime(path, ns=(1, (home / CROP).stat().st_mtime_ns))
        assert pictures(home).of(CROP, "160") == whole
        assert path.read_bytes() == whole


def test_a_picture_that_says_it_is_huge_is_none(home: Path) -> None:
    """A camera's process may have been taken over by what it decodes: its picture must not be 4 gigapixels here."""
    whole = picture()
    frame = whole.index(b"\xff\xc0") + 5  # height and width
    (home / CROP).write_bytes(whole[:frame] + b"\xff\x00\xff\x00" + whole[frame + 4 :])
    assert pictures(home).of(CROP, "160") is None
    assert browser(home).get(f"/visits/{VISIT}/pictures/0?size=160").status == 404


def test_a_home_that_cannot_be_written_shows_pictures_all_the_same(home: Path) -> None:
    """`birdwatchd web` by another user, or a full disk: slower, and nothing else."""
    (home / CACHE).write_bytes(b"in the way")
    assert pictures(home).of(CROP, "160") is not None
    assert KeptPictures(Media(home)).put("../../etc/x.jpg", KIND, b"", 0) is False
    forget_made(home, CROP)
    assert (home / CACHE).read_bytes() == b"in the way"


def test_nobody_takes_them_for_pictures_of_visits(home: Path, tmp_path: Path) -> None:
    """Neither lost, nor to be saved: doctor, backup and the sweep of the start leave them alone."""
    kept = pictures(home).of(CROP, "160")
    config = Config.model_validate({"home": home})
    assert run_doctor(config) == 0
    assert run_backup(config, tmp_path / "backup", keep=3) == 0
    assert list((tmp_path / "backup").rglob("*.webp")) == []
    assert Media(home).sweep(lambda ids: {CROP}, START).moved == 0
    assert pictures(home).of(CROP, "160") == kept
    assert (home / CACHE / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")
