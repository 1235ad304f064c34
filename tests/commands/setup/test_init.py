"""`birdwatchd init`: what it asks, tries and writes, with a camera and a broker that only answer."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server

import pytest

from birdwatchd.address import Source
from birdwatchd.commands import check
from birdwatchd.commands.setup.first_config import FirstConfig
from birdwatchd.commands.setup.init import InitOptions, run_init
from birdwatchd.errors import BirdwatchError, ConfigError
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import load_config
from tests.support.small_disk import fill, small_disk

SMALL = Path(__file__).parents[3] / "config" / "small.yaml"
AWAY = ("no such stream", 0, 0)
Streams = dict[str, tuple[str, int, int]]


class Camera:
    """A camera with some streams: path, what it says if it refuses it, width, height."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.streams: Streams = {"/stream1": ("", 1920, 1080), "/stream2": ("", 640, 360)}
        self.tried: list[str] = []
        self.passwords: set[str] = set()

    def probe(self, source: Source) -> CameraStatus:
        path = source.location.removeprefix(f"rtsp://{self.host}")
        self.tried.append(path)
        self.passwords.add(source.password.reveal())
        detail, width, height = self.streams.get(path, AWAY)
        state = CameraState.OFFLINE if detail else CameraState.ONLINE
        return CameraStatus("camera", state, datetime.now(UTC), width=width, height=height, detail=detail)


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    """A camera at which somebody listens; and an empty folder to write to."""
    monkeypatch.chdir(tmp_path)
    with closing(create_server(("127.0.0.1", 0))) as server:
        yield Camera(server.getsockname()[1])


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Users and passwords that were tried at a broker, which accepts the password `right`."""
    tried: list[str] = []

    def probe(config: Config) -> str:
        tried.append(f"{config.mqtt.username}:{config.mqtt.read_password().reveal()}")
        if config.mqtt.read_password().reveal() != "right":
            raise BirdwatchError("wrong password")
        return "answers"

    monkeypatch.setattr(check, "_probe_broker", probe)
    return tried


def options(**given: object) -> InitOptions:
    return InitOptions(Path("birdwatchd.yaml"), **given)  # type: ignore[arg-type]  # as on a command line


def answering(*answers: str) -> Callable[[str], str]:
    """Gives these answers, then ends."""
    rest = iter(answers)

    def read(prompt: str) -> str:
        for answer in rest:
            return answer
        raise EOFError

    return read


def test_the_small_example_is_what_init_writes() -> None:
    """People copy the one or let the other write it; both must be a dozen lines that load."""
    example = FirstConfig(
        "garden",
        (52.52, 13.405),
        "Europe/Berlin",
        "feeder",
        "rtsp://admin:${CAM_PASSWORD}@192.0.2.10/stream1",
        "rtsp://admin:${CAM_PASSWORD}@192.0.2.10/stream2",
        "mqtt://192.0.2.5",
        "birdwatch",
        "${MQTT_PASSWORD}",
    )
    assert SMALL.read_text(encoding="utf-8") == example.text()
    assert len(example.text().splitlines()) <= 14
    config = load_config(SMALL, {"CAM_PASSWORD": "a", "MQTT_PASSWORD": "b"})
    assert config.cameras["feeder"].gate_source == Source("rtsp://admin:a@192.0.2.10/stream2")


def test_all_given_and_no_terminal(camera: Camera, brokers: list[str]) -> None:
    """For scripts and images: the streams are found, the passwords are in files, and nothing is asked."""
    given = options(
        camera=f"rtsp://admin:p%40ss%2F%25@{camera.host}",
        place="My Garden",
        position="52.52,13.405",
        zone="berlin",
        broker="mqtt://birds:right@192.0.2.5",
    )
    assert run_init(given, terminal=False, probe=camera.probe) == 0
    text = Path("birdwatchd.yaml").read_text()
    assert "p%40" not in text
    assert "right" not in text
    config = load_config(Path("birdwatchd.yaml"), {})
    feeder = config.cameras["feeder"]
    assert feeder.source == Source(f"rtsp://admin:p%40ss%2F%25@{camera.host}/stream1")
    assert feeder.gate_source == Source(f"rtsp://admin:p%40ss%2F%25@{camera.host}/stream2")
    assert camera.passwords == {"p@ss/%"}
    assert (config.station.name, config.station.latitude, config.station.timezone) == (
        "my_garden",
        52.52,
        "Europe/Berlin",
    )
    assert brokers == ["birds:right"]
    assert config.mqtt.password.reveal() == "right"
    for name in ("CAM_PASSWORD", "MQTT_PASSWORD"):
        assert stat.S_IMODE(Path("credentials", name).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path("credentials").stat().st_mode) == 0o700


def test_without_a_terminal_what_is_missing_is_named(camera: Camera) -> None:
    """A question that nobody can answer would hang a script for ever."""
    with pytest.raises(ConfigError, match="--camera, --broker is missing"):
        run_init(options(place="garden"), terminal=False, probe=camera.probe)
    assert camera.tried == []


def test_no_file_is_replaced(camera: Camera, tmp_path: Path) -> None:
    """It may be the work of an evening; also a link that leads nowhere is somebody's."""
    Path("birdwatchd.yaml").write_text("cameras: {}\n")
    with pytest.raises(ConfigError, match="is there already"):
        run_init(options(camera=camera.host, place="a", broker="none"), terminal=False, probe=camera.probe)
    assert Path("birdwatchd.yaml").read_text() == "cameras: {}\n"
    Path("birdwatchd.yaml").unlink()
    Path("birdwatchd.yaml").symlink_to(tmp_path / "none" / "x")
    with pytest.raises(ConfigError, match="is there already"):
        run_init(options(camera=camera.host, place="a", broker="none"), terminal=False, probe=camera.probe)


def test_a_password_of_another_camera_stays(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """`credentials/` may belong to another station's file; and the environment counts more than a file."""
    Path("credentials").mkdir()
    Path("credentials/CAM_PASSWORD").write_text("of another\n")
    monkeypatch.setenv("CAM_PASSWORD_2", "something else")
    given = options(camera=f"rtsp://u:mine@{camera.host}/stream1", place="a", broker="none")
    assert run_init(given, terminal=False, probe=camera.probe) == 0
    assert Path("credentials/CAM_PASSWORD").read_text() == "of another\n"
    config = load_config(Path("birdwatchd.yaml"), os.environ)
    assert config.cameras["feeder"].source.password.reveal() == "mine"


def test_a_variable_in_the_address_stays_one(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps passwords out of the shell's history has them in a variable."""
    monkeypatch.setenv("NUT_PASSWORD", "p@ss")
    given = options(camera=f"rtsp://u:${{NUT_PASSWORD}}@{camera.host}/stream1", place="a", broker="none")
    assert run_init(given, terminal=False, probe=camera.probe) == 0
    assert camera.passwords == {"p@ss"}
    assert "${NUT_PASSWORD}" in Path("birdwatchd.yaml").read_text()
    assert not Path("credentials").exists()


def test_a_password_in_the_query_is_none_of_the_file(camera: Camera) -> None:
    """Reolink's HTTP streams have it there."""
    address = "http://127.0.0.1:9/flv?port=1935&user=admin&password=s3cret&stream=main"
    given = options(camera=address, place="a", broker="none", probe=False)
    assert run_init(given, terminal=False, probe=camera.probe) == 0
    assert "s3cret" not in Path("birdwatchd.yaml").read_text()
    assert load_config(Path("birdwatchd.yaml"), {}).cameras["feeder"].source == Source(address)


def test_a_wrong_password_is_tried_once(camera: Camera) -> None:
    """Cameras lock an account after a few attempts, and there are fourteen paths."""
    camera.streams = {"/Streaming/Channels/101": ("refused (401 Unauthorized)", 0, 0)}
    with pytest.raises(BirdwatchError, match="401"):
        run_init(options(camera=camera.host, place="a", broker="none"), terminal=False, probe=camera.probe)
    assert camera.tried == ["/Streaming/Channels/101"]
    assert not Path("birdwatchd.yaml").exists()


def test_a_camera_that_is_away_is_not_searched(camera: Camera) -> None:
    """Fourteen paths of ten seconds each."""
    camera.host = "127.0.0.1:1"
    with pytest.raises(BirdwatchError, match=r"nobody answers at 127\.0\.0\.1, port 1"):
        run_init(options(camera=camera.host, place="a", broker="none"), terminal=False, probe=camera.probe)
    assert camera.tried == []


def test_a_camera_without_the_usual_paths(camera: Camera) -> None:
    """Then only its manual helps."""
    camera.streams = {}
    with pytest.raises(BirdwatchError, match="at any of the usual paths; look into its manual"):
        run_init(options(camera=camera.host, place="a", broker="none"), terminal=False, probe=camera.probe)
    assert len(camera.tried) > 10


@pytest.mark.parametrize(
    ("small", "says"), [(("", 640, 480), "is of another shape"), (("", 1920, 1080), "no small"), (AWAY, "no small")]
)
def test_only_a_small_stream_of_the_same_view_is_taken(
    camera: Camera, small: tuple[str, int, int], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another shape shows another part of the scene; the same size twice costs twice."""
    camera.streams["/stream2"] = small
    given = options(camera=f"rtsp://{camera.host}/stream1", place="a", broker="none")
    assert run_init(given, terminal=False, probe=camera.probe) == 0
    assert "gate_source:" not in Path("birdwatchd.yaml").read_text()
    assert says in capsys.readouterr().out


def test_a_broker_that_refuses_ends_it(camera: Camera, brokers: list[str]) -> None:
    """Nothing half is left behind, no password either."""
    given = options(camera=f"rtsp://u:p@{camera.host}/stream1", place="a", broker="mqtt://birds:wrong@192.0.2.5")
    with pytest.raises(BirdwatchError, match="wrong password"):
        run_init(given, terminal=False, probe=camera.probe)
    assert list(Path().iterdir()) == []


def test_asked_and_answered(camera: Camera, brokers: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A newcomer had to write a configuration from a commented example of 300 lines.

    Must: `init` asks; each question comes again until its answer works, and Enter takes what is proposed.
    """
    camera.streams["/Streaming/Channels/101"] = ("refused (401 Unauthorized)", 0, 0)
    read = answering(
        *("garden camera", camera.host, "admin", f"rtsp://{camera.host}/stream1", "admin", ""),
        *("", "here", "", "Berlin"),
        *("192.0.2.5", "birds", "192.0.2.5", "birds"),
    )
    secrets = answering("wrong", "open", "wrong", "right")
    assert run_init(options(), terminal=True, read=read, read_secret=secrets, probe=camera.probe) == 0
    config = load_config(Path("birdwatchd.yaml"), {})
    assert config.cameras["feeder"].source == Source(f"rtsp://admin:open@{camera.host}/stream1")
    assert config.station.name == "home"
    assert config.station.latitude is None
    assert brokers == ["birds:wrong", "birds:right"]
    assert sorted(os.listdir("credentials")) == ["CAM_PASSWORD", "MQTT_PASSWORD"]
    assert "birdwatchd models eu-common" in capsys.readouterr().out


def test_weights_of_your_own_are_named_as_a_file(camera: Camera, capsys: pytest.CaptureFixture[str]) -> None:
    """`watch` and `scan` take a file as the model; written as a name, `check --probe` would look for it at birder."""
    Path("my birds.safetensors").touch()
    url = f"rtsp://u:p@{camera.host}/stream1"
    given = options(camera=url, place="a", broker="none", zone="Europe/Berlin", model="my birds.safetensors")
    assert run_init(given, terminal=False, probe=camera.probe) == 0
    config = load_config(Path("birdwatchd.yaml"), {})
    assert config.model.file == Path.cwd() / "my birds.safetensors"
    assert "of its own region" not in capsys.readouterr().out
    missing = InitOptions(Path("other.yaml"), url, place="a", broker="none", model="missing.pt")
    with pytest.raises(ConfigError, match=r"missing\.pt is not a file; check the path"):
        run_init(missing, terminal=False, probe=camera.probe)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("davit_tiny_il-al", "no model named davit_tiny_il-al is published; did you mean davit_tiny_il-all"),
        ("my birds", "no model named my birds is published; `birdwatchd models` lists them"),
        ("crossvit_9d_il-common", "the model crossvit_9d_il-common cannot be used here; `birdwatchd models` lists"),
    ],
)
def test_a_model_that_nobody_publishes_is_refused_at_once(camera: Camera, model: str, said: str) -> None:
    """`check` found out, when the configuration was written already."""
    url = f"rtsp://u:p@{camera.host}/stream1"
    with pytest.raises(ConfigError, match=said):
        run_init(
            options(camera=url, place="a", broker="none", zone="UTC", model=model), terminal=False, probe=camera.probe
        )
    assert not Path("birdwatchd.yaml").exists()


@pytest.mark.parametrize("model", ["demo", "davit_tiny_il-all"])
def test_a_model_that_there_is_is_written(camera: Camera, model: str) -> None:
    """The one in the package too."""
    url = f"rtsp://u:p@{camera.host}/stream1"
    given = options(camera=url, place="a", broker="none", zone="UTC", model=model)
    assert run_init(given, terminal=False, probe=camera.probe) == 0
    assert load_config(Path("birdwatchd.yaml"), {}).model.name == model


def test_whoever_goes_away_leaves_nothing_behind(camera: Camera, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in the middle is no error."""
    ended = run_init(
        options(), terminal=True, read=answering(camera.host, "admin"), read_secret=answering("x"), probe=camera.probe
    )
    assert ended == 1
    assert "nothing was written" in capsys.readouterr().out
    assert list(Path().iterdir()) == []


def test_two_at_once_write_one(camera: Camera) -> None:
    """The second one is told, and its password does not take the place of the first one's."""
    late = threading.Event()
    given = options(camera=f"rtsp://u:second@{camera.host}/stream1", place="a", broker="none")

    def probe(source: Source) -> CameraStatus:
        if not late.is_set():
            late.set()
            Path("birdwatchd.yaml").write_text("cameras: {}\n")  # the first one was faster
        return camera.probe(source)

    with pytest.raises(ConfigError, match="File exists"):
        run_init(given, terminal=False, probe=probe)
    assert Path("birdwatchd.yaml").read_text() == "cameras: {}\n"
    assert not Path("credentials/CAM_PASSWORD").exists()


@pytest.mark.parametrize("address", ["rtsp://u:hunter2@{}/{}", "{}/{}", "/{}{}", "file:///{}{}"])
def test_an_address_may_be_longer_than_a_file_name(camera: Camera, address: str) -> None:
    """Cameras sign their addresses; one of 300 letters ended in a traceback, with the password in it."""
    url = address.format(camera.host, "a" * 5000)
    camera.streams["/" + "a" * 5000] = ("", 640, 360)
    given = options(camera=url, place="a", broker="none")
    if address.startswith("rtsp"):
        assert run_init(given, terminal=False, probe=camera.probe) == 0
    else:
        with pytest.raises(ConfigError, match=r"is not a file|cannot be read"):
            run_init(given, terminal=False, probe=camera.probe)


@pytest.mark.parametrize("name", ["a b: c#d.mp4", 'it\'s "quoted".mp4', "-.mp4", "[x], {y}.mp4", "ä 鳥.mp4"])
def test_any_file_can_be_a_camera(camera: Camera, name: str, tmp_path: Path) -> None:
    """YAML has its own ideas of brackets, colons and quotes."""
    (tmp_path / name).touch()
    online = CameraStatus("camera", CameraState.ONLINE, datetime.now(UTC), width=640, height=360)
    given = options(camera=str(tmp_path / name), place="no", broker="none")
    assert run_init(given, terminal=False, probe=lambda source: online) == 0
    config = load_config(Path("birdwatchd.yaml"), {})
    assert config.cameras["feeder"].source == Source(str(tmp_path / name))
    assert config.station.name == "no"


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """Half a configuration would be `there already` when the disk has room again."""
    given = {"camera": "rtsp://u:s3cret@192.0.2.1/a", "place": "home", "broker": "", "probe": False}
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        big = fill(disk)
        options = InitOptions(disk / "birdwatchd.yaml", **given)  # type: ignore[arg-type]  # as on a command line
        for leave in (0, 1):  # no room at all; room for the password only
            big.write_bytes(bytes(big.stat().st_size - leave * 4096))
            with pytest.raises(ConfigError, match="No space left on device"):
                run_init(options, terminal=False)
            assert [path for path in disk.rglob("*") if path.is_file()] == [big]
        big.unlink()
        assert run_init(options, terminal=False) == 0
        assert load_config(options.file).cameras["feeder"].source.password.reveal() == "s3cret"
