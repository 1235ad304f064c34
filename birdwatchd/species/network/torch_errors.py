"""Translate exceptions of torch, birder and safetensors into ours, and import torch and birder without noise.

Nothing above `birdwatchd.species.network` may need torch to understand an error. Two context managers translate, and
each catches only what its libraries raise; an error of our own code keeps its class and traceback, so that `Crew` logs
it as the bug it is:

* `torch_errors` around work on a device: out of memory, driver and kernel failures.
* `weights_errors` around reading or trying weights: these, and whatever birder raises on a file that is damaged.

Import this module before torch and birder. Both write to stderr as soon as they are imported (birder installs a log
handler at level INFO, torch warns of a missing CUDA runtime), and birder reads the environment variable `LOG_LEVEL`,
which other programs use too, and fails on values such as `debug`.

`import birder` imports every network, polars and scikit-learn: measured 0.28 GB and 1.3 s more than torch alone.
Importing one of its submodules runs the same code and saves nothing.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import traceback
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import safetensors

# Before torch, which starts OpenMP. By default its threads spin while they wait for each other, which is ruinous
# where cameras' processes want the same cores: measured with davit_tiny on 2 busy cores, 2.4 s per image
# spinning, 0.38 s sleeping.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from birdwatchd.errors import DeviceLost, ModelError, ModelUnusable

__all__ = ["DeviceOutOfMemory", "quiet_import", "torch_errors", "weights_errors"]

# Classes that torch raises for nothing but a device. `AcceleratorError` is new in torch 2.8.
_DEVICE_CLASSES: tuple[type[Exception], ...] = (
    *([torch.AcceleratorError] if hasattr(torch, "AcceleratorError") else []),
    torch.cuda.CudaError,
    torch.cuda.DeferredCudaCallError,
    MemoryError,
)
# What torch writes into a plain RuntimeError (AssertionError: a build without CUDA) when a device fails: prefixes of
# its C++ checks for CUDA, cuBLAS, cuDNN, cuFFT, cuSOLVER, cuSPARSE, NVRTC and NVML, of the driver's start, of the CPU's
# allocator, and of oneDNN.
_DEVICE_TEXT = re.compile(
    r"CUDA (driver |NVRTC |runtime )?error|CUDA unknown error|CUDA driver initialization failed"
    r"|(cuBLAS|CUBLAS|cuDNN|cuFFT|cusolver|cusparse) error|nvrtc: error"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_|CUDNN_BACKEND|NVML_SUCCESS"
    r"|No CUDA GPUs are available|Found no NVIDIA driver|NVIDIA driver on your system is too old"
    r"|Torch not compiled with CUDA"
    r"|CPUAllocator: (can't allocate|not enough) memory|std::bad_alloc"
    r"|could not (create|execute) a (primitive|memory)\b(?! descriptor)"
)
# What the readers of weights raise on a file that is missing, cut short, or of another format.
_FILE_CLASSES = (OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, safetensors.SafetensorError)
# What birder's own code, and torch below it, run into on contents that nobody checked.
_BIRDER_CLASSES = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    ImportError,
)


class DeviceOutOfMemory(DeviceLost):
    """The batch does not fit into the device's memory. Try a smaller one; if that fails too, it is lost."""


@contextmanager
def torch_errors(kind: type[ModelError], message: str, hint: str) -> Iterator[None]:
    """Translate what torch raises when a device fails, and nothing else.

    torch raises a plain RuntimeError both for a failed device ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED") and for a
    wrong call ("mat1 and mat2 shapes cannot be multiplied"). Its subclasses (`OutOfMemoryError`, `AcceleratorError`,
    `torch.cuda.CudaError`) decide where it uses them; elsewhere the text does. A RuntimeError without such a text, and
    any TypeError, ValueError, KeyError or AttributeError, is a bug of this program and passes unchanged.

    Raises:
        DeviceOutOfMemory: the device's memory is exhausted.
        kind: the device, its driver or the host's memory failed, as `message (torch's reason)` with `hint`.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise DeviceOutOfMemory(
            f"{message} (out of memory)", "lower model.max_batch, or free the device of other programs"
        ) from None
    except _DEVICE_CLASSES as error:
        raise kind(f"{message} ({_reason(error)})", hint) from None
    except (RuntimeError, AssertionError) as error:
        if not _DEVICE_TEXT.search(str(error)):
            raise
        raise kind(f"{message} ({_reason(error)})", hint) from None


@contextmanager
def weights_errors(message: str, hint: str) -> Iterator[None]:
    """Translate what birder, torch and safetensors raise on weights that are not what they claim to be.

    Errors of reading (OSError, UnpicklingError, SafetensorError, …) are known by class. birder also raises KeyError,
    TypeError, RuntimeError and others, wherever an unexpected file happens to break it; these count if they were raised
    below one of birder's functions, by the traceback. What our own code raises passes unchanged.

    Raises:
        ModelUnusable: as `message (the reason)` with `hint`.
        DeviceOutOfMemory: the device's memory is exhausted.
    """
    try:
        with torch_errors(ModelUnusable, message, hint):
            yield
    except _FILE_CLASSES as error:
        raise ModelUnusable(f"{message} ({_reason(error)})", hint) from None
    except _BIRDER_CLASSES as error:
        if not _raised_by_birder(error):
            raise
        raise ModelUnusable(f"{message} ({_reason(error)})", hint) from None


def _raised_by_birder(error: Exception) -> bool:
    """Whether the innermost function that is ours or birder's is birder's; torch and Python below it do not count."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    packages = [name.split(".")[0] for name in modules]
    return next((name for name in reversed(packages) if name in ("birder", "birdwatchd")), "") == "birder"


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        # torch's own text advises to load the file unsafely: not to be passed on.
        return "it is no PyTorch file, or holds code, which is refused"
    if isinstance(error, KeyError):
        return f"it holds no {error.args[0]!r}" if error.args else "an entry is missing"
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(" :") if lines else type(error).__name__


@contextmanager
def quiet_import() -> Iterator[None]:
    """Import birder inside this: no handler on its logger, no warning of torch's, no foreign `LOG_LEVEL`."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    log_level = os.environ.pop("LOG_LEVEL", None)
    try:
        yield
    finally:
        if log_level is not None:
            os.environ["LOG_LEVEL"] = log_level
    logger = logging.getLogger("birder")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)
