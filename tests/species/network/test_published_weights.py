"""Published weights arrive whole or not at all, are checked at every start, and their absence explains itself."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from birder.model_registry import registry

from birdwatchd.errors import ModelUnusable
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network import checkpoint
from birdwatchd.species.network.network import load_network
from tests.support.publisher import NAME, Publisher, register
from tests.support.random_networks import Saved


@pytest.fixture
def publisher(small: Saved, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Serve the small network's `.pt`, and make birder's registry know it."""
    monkeypatch.setenv("no_proxy", "*")
    publisher = Publisher(small.pt.read_bytes())
    register(publisher.url, hashlib.sha256(publisher.content).hexdigest())
    yield publisher
    publisher.close()
    del registry._pretrained_nets[NAME]


def settings(**more: object) -> ModelSettings:
    """By name, on the CPU."""
    return ModelSettings.model_validate({"name": NAME, "device": "cpu"} | more)


def refusal(cache: Path, **more: object) -> str:
    """Load by name, expect a refusal, and return its sentence."""
    with pytest.raises(ModelUnusable) as caught:
        load_network(settings(**more), cache)
    return str(caught.value)


def test_weights_are_fetched_once(publisher: Publisher, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first start downloads; the next one must work in the field, with no network at all."""
    cache = tmp_path / "home" / "models"
    network = load_network(settings(), cache)
    again = load_network(settings(download=False), cache)
    assert (cache / f"{NAME}.pt").read_bytes() == publisher.content
    assert (publisher.asked, network.name, again.model_id) == (1, NAME, network.model_id)
    assert capfd.readouterr().err == "", "a progress bar in a daemon's log"


def test_progress_is_shown_when_asked_for(
    publisher: Publisher, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A person who waits for 107 MB on a slow line wants to see that something moves."""
    load_network(settings(), tmp_path, progress=True)
    assert f"{NAME}.pt" in capfd.readouterr().err


def test_cache_dir_of_the_settings_goes_first(publisher: Publisher, tmp_path: Path) -> None:
    """Who puts weights on another disk does not want them in the home folder."""
    load_network(settings(cache_dir=tmp_path / "mine"), tmp_path / "home")
    assert (tmp_path / "mine" / f"{NAME}.pt").exists()
    assert not (tmp_path / "home").exists()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing between two attempts."""
    monkeypatch.setattr(checkpoint, "download", partial(checkpoint.download, sleep=lambda _s: None))  # type: ignore[attr-defined]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder in which nothing else lies."""
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def partials(cache: Path, publisher: Publisher) -> list[str]:
    """What lies in the cache and is no whole file; the file itself must not be there."""
    assert not (cache / f"{NAME}.pt").exists()
    return [path.name for path in cache.iterdir()]


def test_a_line_that_breaks_again_and_again_gets_there(publisher: Publisher, tmp_path: Path) -> None:
    """107 MB over a mobile line never came in one piece; each byte is paid for and asked for once only."""
    publisher.send = len(publisher.content) // 5 + 1
    told: list[tuple[int, int]] = []
    load_network(settings(), tmp_path / "cache", on_bytes=lambda done, expected: told.append((done, expected)))
    assert (tmp_path / "cache" / f"{NAME}.pt").read_bytes() == publisher.content
    assert publisher.asked == 5
    assert publisher.sent == len(publisher.content)
    assert told == sorted(told), "progress goes forward"
    assert told[-1] == (len(publisher.content), len(publisher.content))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{NAME}.pt"]


def test_a_server_that_dies_always_at_the_same_place_is_given_up(publisher: Publisher, tmp_path: Path) -> None:
    """It cannot send the rest, so asking for ever leads nowhere; what came stays for another day."""
    publisher.send, publisher.ranges = len(publisher.content) // 2, False
    message = refusal(tmp_path / "cache")
    assert "broke off" in message
    assert f"{publisher.url}/{NAME}.pt" in message
    assert str(tmp_path / "cache" / f"{NAME}.pt") in message
    (left,) = partials(tmp_path / "cache", publisher)
    assert left.endswith(".partial")
    publisher.send = len(publisher.content)
    load_network(settings(), tmp_path / "cache")
    assert (tmp_path / "cache" / f"{NAME}.pt").read_bytes() == publisher.content


def test_a_killed_download_goes_on_at_the_next_start(publisher: Publisher, cache: Path) -> None:
    """systemd kills what takes too long to start; beginning again each time, a slow line never got there."""
    publisher.send, publisher.silent_s = len(publisher.content) // 2, 60.0
    code = (
        "import sys; from pathlib import Path; from birdwatchd.species.network.download import download\n"
        "download(sys.argv[1], Path(sys.argv[2]), sys.argv[3])"
    )
    path, sha256 = cache / f"{NAME}.pt", hashlib.sha256(publisher.content).hexdigest()
    child = subprocess.Popen([sys.executable, "-c", code, f"{publisher.url}/{NAME}.pt", str(path), sha256])
    until_s = time.monotonic() + 60
    while sum(file.stat().st_size for file in cache.iterdir()) < publisher.send and time.monotonic() < until_s:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    assert len(partials(cache, publisher)) == 1
    half, publisher.send, publisher.silent_s = publisher.sent, len(publisher.content), 0.0
    load_network(settings(), cache)
    assert path.read_bytes() == publisher.content
    assert publisher.sent == len(publisher.content), f"{half} bytes were there and were sent again"
    assert [file.name for file in cache.iterdir()] == [path.name]


@pytest.mark.parametrize("left", ["spoilt", "whole", "too long"])
def test_what_an_earlier_attempt_left_is_checked_at_the_end(publisher: Publisher, cache: Path, left: str) -> None:
    """A power cut can leave zeros at the end of a file, and a kill the whole of it under its preliminary name."""
    sha256 = hashlib.sha256(publisher.content).hexdigest()
    pieces = {
        "spoilt": bytes(len(publisher.content) // 2),
        "whole": publisher.content,
        "too long": publisher.content + b"more",
    }
    (cache / f"{NAME}.pt.{sha256[:12]}.partial").write_bytes(pieces[left])
    load_network(settings(), cache)
    assert (cache / f"{NAME}.pt").read_bytes() == publisher.content
    assert publisher.asked == (1 if left == "whole" else 2)
    assert [file.name for file in cache.iterdir()] == [f"{NAME}.pt"]


def test_partial_files_of_older_versions_go(publisher: Publisher, cache: Path) -> None:
    """Each broken start left one of up to 107 MB, for ever; those of another model are not ours to delete."""
    (cache / f"{NAME}.pt.x7dk2_a1.partial").write_bytes(b"old")
    (cache / "other.pt.x7dk2_a1.partial").write_bytes(b"old")
    load_network(settings(), cache)
    assert sorted(file.name for file in cache.iterdir()) == [f"{NAME}.pt", "other.pt.x7dk2_a1.partial"]


def test_two_processes_that_want_the_same_file_fetch_it_once(publisher: Publisher, cache: Path) -> None:
    """`check --probe` beside a service that starts: neither may write into the other's file."""
    publisher.silent_s = 0.5
    threads = [threading.Thread(target=load_network, args=(settings(), cache)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert publisher.asked == 1
    assert [file.name for file in cache.iterdir()] == [f"{NAME}.pt"]


def test_a_server_that_falls_silent_is_given_up(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a time-out the daemon would stand at its start for ever, with no camera watched."""
    publisher.send, publisher.silent_s, publisher.ranges = 1000, 20.0, False
    monkeypatch.setattr(checkpoint, "download", partial(checkpoint.download, timeout_s=0.3))  # type: ignore[attr-defined]
    began = time.monotonic()
    assert "silent" in refusal(tmp_path / "cache")
    assert time.monotonic() - began < 10
    assert len(partials(tmp_path / "cache", publisher)) == 1


def test_another_file_than_published_is_thrown_away(publisher: Publisher, tmp_path: Path) -> None:
    """A captive portal's login page, or an attacker's weights, must never be loaded."""
    publisher.content = publisher.content[:-1] + bytes([publisher.content[-1] ^ 1])
    assert "sha256 differs" in refusal(tmp_path / "cache")
    assert partials(tmp_path / "cache", publisher) == []
    assert publisher.asked == 1


def test_a_file_that_is_gone_at_the_publisher_says_so(publisher: Publisher, tmp_path: Path) -> None:
    """404 is not a network problem, and retrying does not help."""
    publisher.status = 404
    assert "404" in refusal(tmp_path)


@pytest.mark.parametrize("damage", ["short", "flipped"])
def test_a_cached_file_is_checked_at_every_start(publisher: Publisher, tmp_path: Path, damage: str) -> None:
    """Disks rot: one flipped bit in a weight changes species and raises no error anywhere."""
    path = tmp_path / f"{NAME}.pt"
    spoilt = bytearray(publisher.content)
    spoilt[len(spoilt) // 2] ^= 4
    path.write_bytes(publisher.content[:-100] if damage == "short" else bytes(spoilt))
    message = refusal(tmp_path)
    assert "damaged" in message
    assert f"{path} " in message
    assert "delete it" in message
    assert publisher.asked == 0
    assert path.exists(), "a person's file was removed without asking"


def test_without_network_the_error_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Feeders stand where no internet is: one message must suffice to carry the file there on a stick."""

    def unreachable(*_args: object, **_more: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    with pytest.raises(ModelUnusable) as caught:
        load_network(ModelSettings(device="cpu"), tmp_path)
    message = str(caught.value)
    assert "https://huggingface.co/birder-project/davit_tiny_il-all/resolve/main/davit_tiny_il-all.pt" in message
    assert f"put it at {tmp_path / 'davit_tiny_il-all.pt'}" in message
    assert "{name: demo}" in message


def test_download_false_never_asks(publisher: Publisher, tmp_path: Path) -> None:
    """`download: false` is a promise to people who must account for every connection."""
    message = refusal(tmp_path / "cache", download=False)
    assert "model.download is false" in message
    assert f"{publisher.url}/{NAME}.pt" in message
    assert publisher.asked == 0


def test_a_cache_folder_that_cannot_be_made_is_named(publisher: Publisher, tmp_path: Path) -> None:
    """A wrong owner after `sudo` is common, and is not the network's fault."""
    (tmp_path / "file").write_text("in the way")
    message = refusal(tmp_path / "file" / "cache")
    assert str(tmp_path / "file" / "cache") in message


def test_an_unknown_name_lists_close_ones(tmp_path: Path) -> None:
    """Nobody types `davit_tiny_il-all` right the first time."""
    assert "davit_tiny_il-all" in refusal(tmp_path, name="davit_tiny_il_all")
    assert "demo" in refusal(tmp_path, name="demmo")


def test_a_published_detector_is_no_classifier(tmp_path: Path) -> None:
    """birder publishes networks of other kinds under similar names."""
    classifiers = set(registry.list_pretrained_models(task="image_classification"))
    other = next(name for name in registry.list_pretrained_models() if name not in classifiers)
    assert "is not a classifier" in refusal(tmp_path, name=other)
