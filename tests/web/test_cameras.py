"""What the page shows of a camera now, to whom, and the lines that it writes for places that are drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from birdwatchd.monitor.local_socket import LIVE_SOCKET_NAME, ask
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.load import parse_config
from birdwatchd.testing import temporary_store
from birdwatchd.web.access.login import Login, hash_of
from birdwatchd.web.routes import camera_now
from birdwatchd.web.routes.camera_lines import CannotBeWritten, Drawn, drawn_shapes, into_main, into_part, lines_of
from tests.support.live import JAY, LEAF, example_view, live_pictures
from tests.support.page import browser

TRIANGLE = "0.1 0.2, 0.4 0.2, 0.4 0.5"
NUT: dict[str, Any] = {
    "source": "/",
    "name": "Nut feeder",
    "ignore": [[[0, 0], [1, 0], [1, 0.08]]],
    "mask": [[[0, 0.5], [0.3, 0.6], [0.3, 1]]],
    "zones": {"perch": [[0.4, 0.2], [0.6, 0.2], [0.6, 0.5]]},
}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with temporary_store() as store, live_pictures(store.home, {"nut": True, "dark": False, "shut": True}):
        yield store.home


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that never comes is waited for only briefly."""
    monkeypatch.setattr(camera_now, "PATIENCE_S", 1.0)


def somebody(home: Path, **more: Any) -> Any:
    cameras = {
        "nut": NUT,
        "dark": {"source": "/"},
        "shut": {"source": "/", "store": "nothing"},
        "gone": {"source": "/"},
    }
    return browser(home, cameras=cameras, **more)


def test_a_still_is_a_picture_that_nobody_keeps(home: Path) -> None:
    """No browser and no proxy keeps what the garden looked like."""
    answer = somebody(home).get("/cameras/nut/still.jpg")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(answer.body)).size == (640, 360)


def test_a_still_is_for_who_is_logged_in(home: Path) -> None:
    """A live picture of a garden is nobody else's business."""
    stranger = somebody(home, login=Login(hash_of("correct horse battery")))
    for path in ("still.jpg", "still.jpg?n=1", "now", ""):
        answer = stranger.get(f"/cameras/nut/{path}".rstrip("/"), accept="image/jpeg")
        assert (answer.status, answer.text) == (401, "Log in first.\n")


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        ("dark", "the camera has sent none since this page was opened"),
        ("shut", "store: nothing"),
        ("gone", "This camera is not watched."),
    ],
)
def test_why_there_is_no_still_is_said(home: Path, camera: str, words: str) -> None:
    """An empty frame would look like a fault of the page."""
    owner = somebody(home)
    answer = owner.get(f"/cameras/{camera}/still.jpg")
    assert answer.status == 404
    assert words in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert words in owner.get(f"/cameras/{camera}").text
    assert words in owner.get(f"/cameras/{camera}/now").text


def test_a_camera_whose_pictures_are_not_kept_is_not_even_asked_for(home: Path) -> None:
    """Also with the number of a picture, and although the daemon would give one."""
    owner = somebody(home)
    assert owner.get("/cameras/shut/still.jpg?n=1").status == 404
    assert list(ask(home, "live", b"shut", name=LIVE_SOCKET_NAME)) == [{}], "nobody has looked before this question"


def test_without_a_daemon_the_page_says_so(tmp_path: Path) -> None:
    """`birdwatchd web` shows a home whose daemon is stopped."""
    with temporary_store() as store:
        answer = somebody(store.home).get("/cameras/nut/still.jpg")
    assert (answer.status, "no daemon listens there" in answer.text) == (404, True)


@pytest.mark.parametrize(
    "path", ["/cameras/none", "/cameras/none/still.jpg", "/cameras/none/now", "/cameras/..%2fx/now"]
)
def test_there_are_no_cameras_but_those_that_are_configured(home: Path, path: str) -> None:
    """A key in an address is looked up, and never a path."""
    assert somebody(home).get(path).status == 404


def test_what_is_perhaps_a_bird_is_no_more_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "No bird is followed. 2 more may be birds." says more than what?"""
    perhaps = replace(example_view("nut"), tracks=((JAY, False), (LEAF, False)))
    monkeypatch.setattr("tests.support.live.example_view", lambda *_: perhaps)
    with temporary_store() as store, live_pictures(store.home, {"nut": True}):
        words = " ".join(somebody(store.home).get("/cameras/nut").text.split())
    assert "2 things that may be birds are followed." in words
    assert "more may be" not in words


def test_what_the_gate_sees_is_drawn_over_the_picture_that_it_saw(home: Path) -> None:
    """A box beside the bird would send its reader to the wrong setting."""
    owner = somebody(home)
    page = owner.get("/cameras/nut").text
    number = re.search(r"/cameras/nut/still\.jpg\?n=(\d+)", page)
    assert number
    assert '<rect class="bird" x="160.0" y="180.0" width="64.0" height="72.0"/>' in page
    assert '<rect class="explained" x="512.0" y="36.0" width="32.0" height="18.0"/>' in page
    assert ">sway</text>" in page
    assert '<polygon class="mask" points="0.0,180.0 192.0,216.0 192.0,360.0"/>' in page
    assert '<polygon class="ignore"' in page
    assert ">perch</text>" in page
    assert "1 bird is followed. Something moves at 1 place. Something else moves: sway." in " ".join(page.split())
    seen = owner.get(f"/cameras/nut/still.jpg?n={number[1]}")
    shown = Image.open(io.BytesIO(seen.body)).getpixel((5, 5))
    assert isinstance(shown, tuple)
    assert abs(shown[0] - int(number[1])) <= 2, "its brightness is its number"
    for _ in range(4):
        owner.get("/cameras/nut/now")
    assert owner.get("/cameras/nut/still.jpg?n=99999").status == 404


def lines_on(page: str) -> str:
    found = re.search(r'<textarea id="yaml"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    return unescape(found[1]) if found else ""


def configured(lines: str) -> CameraSettings:
    """The camera's settings by the real loader, where these lines stand below its key."""
    text = f"cameras:\n  nut:\n    source: rtsp://192.0.2.10/main\n{lines}"
    return parse_config(text, "site.yaml", {}).cameras["nut"]


@pytest.mark.parametrize("key", ["ignore", "mask", "zones"])
def test_the_lines_are_taken_by_the_configuration(home: Path, key: str) -> None:
    """They are copied by people who do not know YAML; what was set before stays."""
    owner = somebody(home)
    page = owner.get(f"/cameras/nut?key={key}&zone=ground&points={quote(TRIANGLE)}").text
    settings = configured(lines_on(page))
    drawn = ((0.1, 0.2), (0.4, 0.2), (0.4, 0.5))
    if key == "zones":
        assert settings.zones == {"perch": ((0.4, 0.2), (0.6, 0.2), (0.6, 0.5)), "ground": drawn}
    else:
        before = tuple(tuple(map(tuple, shape)) for shape in NUT[key])
        assert getattr(settings, key) == (*before, drawn)
    alone = configured(
        lines_on(owner.get(f"/cameras/nut?key={key}&zone=ground&instead=1&points={quote(TRIANGLE)}").text)
    )
    assert getattr(alone, key) == ({"ground": drawn} if key == "zones" else (drawn,))


@pytest.mark.parametrize(
    "name", ["off", "1", "null", 'a "b": c # d', "{x}", "טיט", "\N{BIRD}", "'", "- a", "&a", "a: b", "${X}"]
)
def test_a_zone_may_have_any_name(name: str) -> None:
    """YAML reads `off` as false, and a colon as the end of a key."""
    written = lines_of(CameraSettings.model_validate({"source": "/"}), Drawn("zones", drawn_shapes(TRIANGLE), name))
    assert list(configured(written).zones) == [name]


def test_a_mask_of_a_camera_with_clips_says_what_has_to_go() -> None:
    """The configuration refuses both together."""
    settings = CameraSettings.model_validate({"source": "/", "clips": True})
    written = lines_of(settings, Drawn("mask", drawn_shapes(TRIANGLE)))
    assert not configured(written).clips


def test_small_numbers_are_written_without_an_exponent() -> None:
    """YAML 1.1 takes 1e-05 for a text."""
    settings = CameraSettings.model_validate({"source": "/", "ignore": [[[0.00001, 0], [1, 0], [1, 0.08]]]})
    assert "[0.00001, 0], [1, 0], [1, 0.08]" in lines_of(settings, Drawn("ignore", drawn_shapes(TRIANGLE)))


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ("0.1 0.2, 0.4 0.2", "line 1 has 2"),
        (f"{TRIANGLE}\n0.1 0.2 0.3", "Line 2 has an odd number"),
        ("0.1 0.2, 0.4 0.2, 0.4 5", "above 1"),
        ("0.1 0.2, 0.4 0.2, 0.4 -0.5", "something other than numbers"),
        ("a b c", "something other than numbers"),
        ("\n".join([", ".join(["0 0"] * 51)] * 2), "more than 100 corners"),
    ],
)
def test_what_is_no_place_is_said(home: Path, points: str, words: str) -> None:
    """Somebody types the corners; a line that is refused later helps nobody."""
    with pytest.raises(CannotBeWritten, match=words):
        drawn_shapes(points)
    if len(points) < 200:
        page = somebody(home).get(f"/cameras/nut?key=mask&points={quote(points)}").text
        assert words in page
        assert lines_on(page) == ""


@pytest.mark.parametrize(
    ("zone", "count", "words"), [("", 1, "a name"), ("x" * 65, 1, "a name"), ("x", 2, "one place")]
)
def test_a_zone_is_one_place_with_a_name(zone: str, count: int, words: str) -> None:
    """Alert rules call it by its name."""
    with pytest.raises(CannotBeWritten, match=words):
        lines_of(CameraSettings.model_validate({"source": "/"}), Drawn("zones", drawn_shapes(TRIANGLE) * count, zone))


def test_corners_may_be_pasted_from_a_configuration() -> None:
    """Somebody changes what is there already."""
    assert drawn_shapes("  - [[0.1, 0.2], [0.4, 0.2], [0.4, 0.5]]".replace("  - ", "")) == drawn_shapes(TRIANGLE)


def test_a_zone_in_a_small_stream_of_another_part_is_one_of_the_main_stream() -> None:
    """Motion is looked for in 4:3 out of the middle of 16:9; zones are fractions of the whole picture."""
    part = (0.125, 0.0, 0.75, 1.0)
    assert into_main(((0.0, 0.5), (1.0, 1.0), (0.5, 0.0)), part) == ((0.125, 0.5), (0.875, 1.0), (0.5, 0.0))
    assert into_part(into_main(((0.2, 0.5),), part), part)[0] == pytest.approx((0.2, 0.5))
