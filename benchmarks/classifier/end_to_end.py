"""Measure crops per second from the mailbox to the database, and next to it those of the network alone.

    python -m benchmarks.classifier.end_to_end [--device cuda:0] [--crops 512]

Unlike `python -m benchmarks.classifier` this needs the whole project installed: the mailbox, both stages, the verdicts,
the files of the crops and the database are the daemon's own. Weights are random; crops are JPEGs of several sizes, from
eight cameras, eight of each visit.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP, as in the daemon.
from birdwatchd.species.network import torch_errors  # noqa: F401

# isort: split
import argparse
import io
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from birder.common import fs_ops
from birder.data.transforms.classification import get_rgb_stats
from birder.net.base import get_signature
from PIL import Image

from benchmarks.classifier.machine import described
from benchmarks.classifier.ways import network
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import Box, Crop, Evidence, Moment
from birdwatchd.settings.config import Config
from birdwatchd.species.network.network import Network, load_network
from birdwatchd.species.taxonomy import bundled_taxonomy
from birdwatchd.stages.build import build_stages
from birdwatchd.store import Store

CAMERAS, OF_A_VISIT = 8, 8
SIDES = (96, 160, 240, 384, 512)  # pixels of a crop
START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


def main() -> None:
    """Measure in turns, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifier.end_to_end", description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--crops", type=int, default=64, help="a turn; 512 or more on a GPU")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(
            {"model": {"file": _weights(Path(folder)), "name": "davit_tiny", "device": given.device, "max_batch": 256}}
        )
        net = load_network(config.model, Path(folder))
        moments = [_moment(number) for number in range(given.crops)]
        alone, whole = [], []
        for turn in range(given.runs + 1):
            seconds = _network_alone(net, moments), _end_to_end(config, net, moments, Path(folder) / f"home{turn}")
            if turn:
                alone.append(given.crops / seconds[0])
                whole.append(given.crops / seconds[1])
        shares = [a / b for a, b in zip(whole, alone, strict=True)]
        print(f"network alone, crops decoded: {statistics.median(alone):.3g} crops/s")
        print(f"from the queue to the stored row: {statistics.median(whole):.3g} crops/s")
        print(f"share: {statistics.median(shares):.2f} ({min(shares):.2f} … {max(shares):.2f})")
        print(f"{net.device}; {'; '.join(described(torch.device(net.device.split(',')[0].split(' ')[0])))}")


def _weights(folder: Path) -> Path:
    """davit_tiny for 550 classes with random weights, as birder saves it."""
    classes = {label.common_name: index for index, label in enumerate(bundled_taxonomy().all[:550])}
    net, path = network("davit_tiny", len(classes), 384), folder / "davit_tiny.safetensors"
    signature = get_signature((1, 3, 384, 384), len(classes))
    fs_ops.save_st(net, str(path), net.task, classes, signature, get_rgb_stats("birder"))
    return path


def _moment(number: int) -> Moment:
    side = SIDES[number % len(SIDES)]
    coarse = np.random.default_rng(number).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=92, subsampling=0)
    at = START + timedelta(seconds=number)
    return Moment(number % OF_A_VISIT, at, Box(0.4, 0.4, 0.2, 0.2), 0.7, Crop(file.getvalue(), side, side))


def _network_alone(net: Network, moments: list[Moment]) -> float:
    crops = []
    for moment in moments:
        with Image.open(io.BytesIO(moment.crop.jpeg)) as image:
            crops.append(net.preprocess(image.convert("RGB")))
    begun_s = time.perf_counter()
    for start in range(0, len(crops), 256):
        net.infer(crops[start : start + 256])
    return time.perf_counter() - begun_s


def _end_to_end(config: Config, net: Network, moments: list[Moment], home: Path) -> float:
    metrics, stop = Metrics(), Stop()
    mailbox = Mailbox(metrics, lane_crops=len(moments))
    with Store.open(home, zone=config.station.zone) as store:
        classify, record, _ = build_stages(
            config, net, mailbox, metrics, store, store.writer(), stop=stop, on_visit=lambda visit: None
        )
        lanes = [f"c{number}" for number in range(CAMERAS)]
        for lane in lanes:
            mailbox.open_lane(lane)
        for number in range(0, len(moments), OF_A_VISIT):
            mine, camera = tuple(moments[number : number + OF_A_VISIT]), lanes[number // OF_A_VISIT % CAMERAS]
            first, last = mine[0].at, mine[-1].at
            mailbox.put(camera, Evidence(f"{number:026d}", camera, 1, first, last, last, mine, 1))
        for lane in lanes:
            mailbox.close_lane(lane)
        threads = [threading.Thread(target=stage.run) for stage in (classify, record)]
        begun_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.perf_counter() - begun_s
        stored = sum(len(store.visits.moments(visit.visit_id)) for visit in store.visits.find())
    if stored != len(moments):
        raise SystemExit(f"{stored} of {len(moments)} crops were stored: the figures are worth nothing")
    return took_s


if __name__ == "__main__":
    main()
