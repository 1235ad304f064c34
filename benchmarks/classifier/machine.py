"""Describe the machine and versions behind a figure, and measure its matrix-product rate (FLOP/s)."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path

import birder
import torch

import birdwatchd

__all__ = ["described", "flops_per_crop", "matrix_rate", "synchronise"]

# Large enough for every device to be at its best, small enough for a CPU: 17 and 1100 GFLOP.
_SIDES = {"cpu": 2048, "cuda": 8192}


def described(device: torch.device) -> tuple[str, ...]:
    """Processor or GPU, threads and versions."""
    model = platform.processor() or "unknown processor"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = (torch.cuda.get_device_name(device), f"CUDA {torch.version.cuda}") if device.type == "cuda" else ()
    return (
        *gpu,
        f"{model}, {cores} cores, {torch.get_num_threads()} threads",
        f"birdwatchd {birdwatchd.__version__}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"birder {birder.__version__}",
    )


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Multiplications and additions a second (FLOP/s) of one large matrix product, median of five."""
    side = _SIDES[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times_s = []
    for _ in range(7):
        synchronise(device)
        begun_s = time.perf_counter()
        a @ b
        synchronise(device)
        times_s.append(time.perf_counter() - begun_s)
    return 2 * side**3 / statistics.median(times_s[2:])


def flops_per_crop(net: torch.nn.Module, size: int) -> int:
    """Multiplications and additions of birder's module for one crop, counted by torch as it runs."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(torch.zeros(1, 3, size, size))
    return counter.get_total_flops()
