"""Every parser of the main process, with good inputs and the words of its format.

Each is opened as the daemon or a command opens it, through the function that they call.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image

from benchmarks.fuzz.inputs import Corpus
from benchmarks.fuzz.run import Parser
from birdwatchd.camera.process.wire import ChildFailed, Failure, FileDone, Pipe, TuneDone, WireError, encode
from birdwatchd.errors import ConfigError, ModelUnusable
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.commands import Commands
from birdwatchd.mqtt.connection import Received
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Box, CameraState, CameraStatus, Crop, Evidence, LiveView, new_visit_id
from birdwatchd.settings.load import load_config
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.names import read_names
from birdwatchd.species.verdict.ebird import read_bar_chart
from birdwatchd.store import Store
from birdwatchd.testing import START, example_moment, example_visit

__all__ = ["PARSERS"]

UTC = ZoneInfo("UTC")
CONFIG = b"""station: {name: reserve1, latitude: 31.8, longitude: 35, timezone: Asia/Jerusalem}
cameras:
  nut: &c
    source: rtsp://user:${PW}@192.0.2.10/main
    ignore: [[[0, 0], [1, 0], [1, 0.08]]]
    mask: [[[0, 0.5], [0.3, 0.6], [0.3, 1]]]
    zones: {perch: [[0.4, 0.2], [0.6, 0.2], [0.6, 0.5]]}
    min_bird: auto
  two: {<<: *c, source: /dev/video0, clips: off, store: frames}
"""
MORE = b"""mqtt: {url: "mqtts://b:8883", username: u, password_file: /p, commands: [enable], heartbeat: 07:00}
alerts:
  - {name: r, when: [first_ever, rare], cooldown: 30m, to: [phone], hours: ["sunset+30m..05:00"], min_count: 1}
channels: {phone: {apprise: "tgram://a/b", image: true, max_age: 1d}}
retention: {keep_days: 365, max_gb: 50}
species: {threshold: 0.7, per_species: {House sparrow: 0.85}, months: {Parus: [4, 5]}}
metrics: {bind: "127.0.0.1:9108"}
"""
YAML = tuple(
    b": |\n|  |- |[|]|{|}|&a |*a|<<: |!secret |!!python/object:os.system |!!binary |'|\"|#|>-|%YAML|---\n|...|?|~|"
    b"cameras|source|mask|ignore|zones|min_bird|store|rtsp://|http://|file:|${X}|\xc2\x85|\xef\xbb\xbf|\xf0\x9f\x90\xa6|"
    b"\xff|\x00|\t|2020-13-41|0o7|.inf|.nan|1:30|station|latitude|alerts|when|channels|mqtts://u:p@h|\\ud800|\r".split(
        b"|"
    )
)
TABLE = b'scientific_name,name\nUpupa epops,Wiedehopf\nParus major,"Kohlmeise, die"\nPasser domesticus;x,Haussperling\n'
MORE_TABLE = "IOC name\tDeutsch\tעברית\nUpupa epops\tWiedehopf\tדוכיפת\n".encode()
CELLS = tuple(
    b',|;|\t|"|""|\n|\r|\r\n|\'|scientific_name|species|name|latin|Deutsch| |\xc2\xa0|\x00|\xff|\xe2\x80\xa8'.split(
        b"|"
    )
)
SHARES = b"\t".join([b"0.25"] * 48)
CHART = (
    b"Frequency of observations\n\nNumber of taxa:\t2\n\n\tJan\t\t\t\tFeb\nSample Size:\t"
    + b"\t".join([b"10"] * 48)
    + b"\n"
    b'Mallard (Domestic type) (<em class="sci">Anas platyrhynchos (Domestic type)</em>)\t' + SHARES + b"\n"
    b"gull sp.\t" + SHARES + b"\nGreat tit\t" + SHARES + b"\n"
)
CHART_WORDS = tuple(
    b'\t|\n|Sample Size:|<em|<em class="sci">|</em>|(|)| |\xc2\xa0| sp.|/| x |hybrid|0.5|Great tit'.split(b"|")
)
JSON = tuple(
    b'{|}|[|]|,|:|"|\\|\\u0000|\\ud800|null|true|NaN|Infinity|-|1e400|"davit_tiny"|"registered_name"|"model_config"'.split(
        b"|"
    )
)
COMMANDS = tuple(
    b"birdwatch/s/nut/set/|enabled|confirm|retract|/|#|+|last|ON|OFF|\x00|\xff|birdwatch|nut|two|$SYS".split(b"|")
)


def _file(folder: Path, name: str, parse: Callable[[Path], object]) -> Callable[[bytes], object]:
    path = folder / name

    def run(data: bytes) -> object:
        path.write_bytes(data)
        return parse(path)

    return run


def _config(folder: Path) -> Callable[[bytes], object]:
    return _file(folder, "site.yaml", lambda path: load_config(path, {"PW": "secret"}))


def _names(folder: Path) -> Callable[[bytes], object]:
    return _file(
        folder, "names.csv", lambda path: read_names(path, "Deutsch") if path.stat().st_size % 2 else read_names(path)
    )


def _chart(folder: Path) -> Callable[[bytes], object]:
    return _file(folder, "chart.txt", read_bar_chart)


# -- wire -------------------------------------------------------------------------------------------------------------


def _messages() -> Sequence[bytes]:
    start = START
    moments = tuple(replace(example_moment(i, jpeg=bytes([i]) * 40).moment, frame=b"f" * 9 * i) for i in range(3))
    visit_id = new_visit_id(start, 7)
    evidence = Evidence(visit_id, "nut", 1, start, None, start, moments, 1)
    over = replace(evidence, revision=2, end=start + timedelta(seconds=9), moments=(), media="a.mp4", start_s=0.5)
    status = CameraStatus(
        "nut", CameraState.ONLINE, start, 12.0, 9, 0, 640, 480, "is silent", extra=(("ring_bytes", 7.0),)
    )
    shown = io.BytesIO()
    Image.new("RGB", (64, 36)).save(shown, "JPEG")
    box = Box(0.1, 0.2, 0.3, 0.4)
    live = LiveView("nut", shown.getvalue(), 64, 36, "watching", (box,), ((box, "sway"),), ((box, True),))
    items = (evidence, over, status, live, FileDone("a.mp4", 9.0), TuneDone(3.0, 1, (("faint", 3),)), Failure("no"))
    each = [encode(item) for item in items]
    return (*each, b"".join(each))


def _wire(folder: Path) -> Callable[[bytes], object]:
    del folder

    def run(data: bytes) -> object:
        pipe, received = Pipe(io.BytesIO(data)), 0
        while pipe.receive(Evidence, CameraStatus, LiveView, FileDone, TuneDone) is not None:
            received += 1
        return received

    return run


# -- MQTT -------------------------------------------------------------------------------------------------------------


def _commands(folder: Path) -> Callable[[bytes], object]:
    store = Store.open(folder / "home", zone=UTC)
    topics = Topics("birdwatch", "s")
    writer = store.writer(Composer(topics))
    for number in range(3):
        visit = example_visit(new_visit_id(START, number), start=START + timedelta(minutes=number))
        writer.record(visit, [example_moment()], START)
    cameras = ("nut", "two")
    commands = Commands(
        store,
        writer,
        topics,
        Metrics(),
        allowed=("enable", "confirm", "retract"),
        cameras=cameras,
        switched_off=(),
        disabled=("two",),
        switch=lambda camera, on: None,
    )

    def run(data: bytes) -> object:
        topic, _, payload = data.partition(b" ")
        received = Received(topic.decode("utf-8", "replace"), payload, data.endswith(b"r"))
        return commands.execute(received, START + timedelta(hours=1))

    return run


def _command_inputs() -> Corpus:
    leaves = (b"enabled ON", b"enabled OFF", b"confirm last", b"retract " + new_visit_id(START, 1).encode())
    return Corpus([b"birdwatch/s/nut/set/" + leaf for leaf in leaves], COMMANDS)


# -- model and memory -------------------------------------------------------------------------------------------------


def _bundled(name: str) -> bytes:
    return files("birdwatchd.species").joinpath("weights", name).read_bytes()


def _model(folder: Path) -> Callable[[bytes], object]:
    from birdwatchd.species.network.checkpoint import read_checkpoint

    weights = folder / "mine.pt"
    weights.write_bytes(b"no weights: what is read of them is another matter")
    settings = ModelSettings(name="mine", file=weights)

    def parse(path: Path) -> object:
        del path
        return read_checkpoint(settings, folder, progress=False)

    return _file(folder, "mine.json", parse)


def _network(folder: Path) -> Callable[[bytes], object]:
    """The same beside weights that are good, so that a network is built as the file says."""
    from birdwatchd.species.network.checkpoint import read_checkpoint

    weights = folder / "mine.safetensors"
    weights.write_bytes(_bundled("demo.safetensors"))
    settings = ModelSettings(name="mine", file=weights)
    return _file(folder, "mine.json", lambda path: read_checkpoint(settings, folder, progress=False))


def _memory_bytes(examples: int = 6, dim: int = 4) -> bytes:
    from safetensors.numpy import save

    tensors = {
        "embeddings": np.linspace(-1, 1, examples * 2 * dim).reshape(examples, 2, dim).astype(np.float16),
        "energies": np.linspace(1, 2, examples).astype(np.float32),
    }
    names = json.dumps(["Great tit", "House sparrow"] * (examples // 2))
    data: bytes = save(tensors, {"weights": "0" * 64, "names": names})
    return data


def _memory(folder: Path) -> Callable[[bytes], object]:
    """The examples that came with a model, and what is learned of them."""
    from birdwatchd.records import Label
    from birdwatchd.species.learned.experience import Experience
    from birdwatchd.species.network.reference import read_reference

    labels = (Label("Great tit"), Label("House sparrow"))

    def parse(path: Path) -> object:
        return Experience(labels, read_reference(path.with_name("mine.safetensors"), "0" * 64))

    return _file(folder, "mine.seen.safetensors", parse)


# -- pictures ---------------------------------------------------------------------------------------------------------


def _jpegs() -> Sequence[bytes]:
    from birdwatchd.store.rescue.notes import CropNote, with_note

    noise = np.random.default_rng(1).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    plain, progressive = io.BytesIO(), io.BytesIO()
    Image.fromarray(noise).save(plain, "JPEG", subsampling=0)
    Image.fromarray(noise).save(progressive, "JPEG", progressive=True)
    noted = with_note(plain.getvalue(), CropNote(example_visit(), example_moment(), "demo@1"))
    return plain.getvalue(), progressive.getvalue(), noted


class _NoNetwork:
    max_batch = 8

    def preprocess(self, image: Image.Image) -> object:
        return image.convert("RGB").resize((8, 8))

    def infer(self, batch: Sequence[object]) -> tuple[object, object]:
        return np.zeros((len(batch), 2), np.float32), np.zeros((len(batch), 4), np.float32)


def _pictures(folder: Path) -> Callable[[bytes], object]:
    """A crop as the classifier decodes it, and its note as a repair reads it."""
    from birdwatchd.species.network.classifier import Classifier
    from birdwatchd.store.rescue.exif import without_exif
    from birdwatchd.store.rescue.notes import read_note

    classifier = Classifier(_NoNetwork(), ModelSettings(), Metrics())  # type: ignore[arg-type]
    path = folder / "crop.jpg"

    def run(data: bytes) -> object:
        path.write_bytes(data)
        moment = replace(example_moment().moment, crop=Crop(data, 24, 24))
        classifier.predict([("v1", moment)])
        without_exif(data)
        return read_note(path)

    return run


def _corpus(corpus: Callable[[], Corpus]) -> Callable[[random.Random], bytes]:
    made: list[Corpus] = []

    def make(chance: random.Random) -> bytes:
        if not made:
            made.append(corpus())
        return made[0].make(chance)

    return make


PARSERS = {
    parser.name: parser
    for parser in (
        Parser("config", _corpus(lambda: Corpus((CONFIG, MORE), YAML)), _config, (ConfigError,)),
        Parser("names", _corpus(lambda: Corpus((TABLE, MORE_TABLE), CELLS)), _names, (ConfigError,)),
        Parser("chart", _corpus(lambda: Corpus((CHART,), CHART_WORDS)), _chart, (ConfigError,)),
        Parser("wire", _corpus(lambda: Corpus(_messages(), JSON)), _wire, (WireError, ChildFailed)),
        Parser("commands", _corpus(_command_inputs), _commands),
        Parser("memory", _corpus(lambda: Corpus((_memory_bytes(),), JSON)), _memory, (ModelUnusable,)),
        Parser("model", _corpus(lambda: Corpus((_bundled("demo.json"),), JSON)), _model, (ModelUnusable,)),
        Parser("network", _corpus(lambda: Corpus((_bundled("demo.json"),), JSON)), _network, (ModelUnusable,)),
        Parser("pictures", _corpus(lambda: Corpus(_jpegs(), (b"\xff\xd8", b"\xff\xe1", b"Exif\0\0"))), _pictures),
    )
}
