"""Keep torch and birder at home: import them without noise, and turn what they raise into our errors.

Both talk on stderr from the moment they are imported (birder installs a log handler of its own at level INFO,
torch warns of a missing CUDA runtime), and birder reads the environment variable `LOG_LEVEL`, which other
programs use too, and dies of values such as `debug`. So this module is imported before torch and birder.

Everything in birder begins with `import birder`, which brings in every network, polars and scikit-learn:
measured 0.28 GB and 1.3 s beyond torch. Importing a submodule alone runs the same and saves nothing.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import safetensors

# Before torch, which starts OpenMP. By default its threads spin while they wait for each other, which is ruinous
# where cameras' processes want the same cores: measured with davit_tiny on 2 busy cores, 2.4 s per picture
# spinning, 0.38 s sleeping.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from birdwatchd.errors import DeviceLost, ModelError

__all__ = ["DeviceOutOfMemory", "quiet_import", "torch_errors"]

# What torch, birder, safetensors and json raise on files whose content is not what it claims to be.
# (Errors of CUDA and of damaged archives are RuntimeErrors; json's is a ValueError.)
_FOREIGN = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    EOFError,
    MemoryError,
    OSError,
    ImportError,
    pickle.UnpicklingError,
    safetensors.SafetensorError,
)


class DeviceOutOfMemory(DeviceLost):
    """The batch does not fit into the device's memory. Try a smaller one; if that fails too, it is lost."""


@contextmanager
def torch_errors(kind: type[ModelError], message: str, hint: str) -> Iterator[None]:
    """Let no exception of torch, birder or safetensors through.

    Raises:
        DeviceOutOfMemory: the device's memory is exhausted.
        kind: everything else they raise, as `message (the reason)` with `hint`.
    """
    try:
        yield
    except ModelError:
        raise
    except torch.OutOfMemoryError:
        raise DeviceOutOfMemory(
            f"{message} (out of memory)", "lower model.max_batch, or free the device of other programs"
        ) from None
    except _FOREIGN as error:
        raise kind(f"{message} ({_reason(error)})", hint) from None


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
