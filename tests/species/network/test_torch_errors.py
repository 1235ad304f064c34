"""What torch, birder and safetensors raise becomes an error that names its remedy; what we raise stays what it is."""

from __future__ import annotations

# Before torch and birder, as in the daemon: it quietens both.
from birdwatchd.species.network import checkpoint

# isort: split
import http.client
import inspect
import json
import logging
import pickle
import ssl
import traceback
import urllib.error
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from birder.common.fs_ops import load_model
from birder.common.lib import get_size_from_signature
from birder.model_registry import registry
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from birdwatchd.errors import DeviceLost, ModelUnusable
from birdwatchd.flow import Crew, Stop
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.download import DownloadFailed, download
from birdwatchd.species.network.network import load_network
from birdwatchd.species.network.reference import read_reference, reference_path
from birdwatchd.species.network.torch_errors import DeviceOutOfMemory, torch_errors, weights_errors
from tests.support.random_networks import Saved

# What `torch_errors(DeviceLost, …)` makes of each exception of torch's public modules; None: it passes unchanged.
OF_TORCH: dict[type[BaseException], type[BaseException] | None] = {
    torch.OutOfMemoryError: DeviceOutOfMemory,
    torch.AcceleratorError: DeviceLost,
    torch.cuda.CudaError: DeviceLost,
    torch.cuda.DeferredCudaCallError: DeviceLost,
    torch.FatalError: None,  # type: ignore[attr-defined]  # nothing in torch raises it any more
    torch.jit.Error: None,  # TorchScript is not used
    torch.linalg.LinAlgError: None,  # type: ignore[attr-defined]  # a singular matrix: none is inverted here
}
# Plain RuntimeErrors of torch that mean a failed device, as its C++ checks write them.
DEVICE_TEXTS = (
    "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k, ...)`",
    "CUDA driver error: device not ready",
    "CUDA NVRTC error: NVRTC_ERROR_BUILTIN_OPERATION_FAILURE",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "cuFFT error: CUFFT_INTERNAL_ERROR",
    "cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`",
    "nvrtc: error: failed to open libnvrtc-builtins.so.13.0.",
    'NVML_SUCCESS == DriverAPI::get()->nvmlInit_v2_() INTERNAL ASSERT FAILED at "/c10/cuda/CUDACachingAllocator.cpp"',
    "No CUDA GPUs are available",
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
    "The NVIDIA driver on your system is too old (found version 11040).",
    "CUDA unknown error - this may be due to an incorrectly set up environment",
    "CUDA driver initialization failed, you might not have a CUDA gpu.",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",
    "std::bad_alloc",
    "could not create a primitive",
    "could not execute a primitive",
    "could not create a memory object",
)
# Our own mistakes, as Python and torch report them: calls that torch refuses raise RuntimeError too.
BUGS: dict[str, Callable[[], object]] = {
    "TypeError": lambda: len(3),  # type: ignore[arg-type]
    "ValueError": lambda: int("x"),
    "KeyError": lambda: {}["x"],  # type: ignore[index]
    "AttributeError": lambda: None.x,  # type: ignore[attr-defined]
    "IndexError": lambda: "x"[5],
    "ZeroDivisionError": lambda: 1 / 0,
    "OverflowError": lambda: int(float("inf")),
    "NotImplementedError": lambda: torch.utils.data.Dataset()[0],
    "shapes": lambda: torch.zeros(2, 3) @ torch.zeros(2, 3),
    "dtypes": lambda: torch.zeros(2, 3) @ torch.zeros(3, 2, dtype=torch.long),
    "view": lambda: torch.zeros(3).view(2, 2),
    "primitive": lambda: _raise(RuntimeError("could not create a primitive descriptor for the matmul primitive")),
    "fork": lambda: _raise(RuntimeError("Cannot re-initialize CUDA in forked subprocess.")),
    "torch refuses a type": lambda: torch.from_numpy("x"),
    "torch refuses an index": lambda: torch.zeros(2)[5],
    "numpy": lambda: np.stack([]),
    "a keyword that birder does not have": lambda: load_model(torch.device("cpu"), "davit_tiny", nonsense=True),
}


def _raise(error: BaseException) -> None:
    raise error


def exceptions_of(module: ModuleType) -> Iterator[type[BaseException]]:
    """The exception classes that a module offers."""
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, BaseException) and not issubclass(found, Warning):
            yield found


def made(kind: type[BaseException]) -> BaseException:
    """One of a class, whatever arguments it wants."""
    return kind(2) if kind is torch.cuda.CudaError else kind("text")


def test_no_exception_of_torch_is_forgotten() -> None:
    """A new version of torch may bring a new one; then somebody has to decide what it becomes."""
    found = {one for module in (torch, torch.cuda, torch.linalg) for one in exceptions_of(module)}
    assert {one for one in found if one.__module__.startswith("torch")} - OF_TORCH.keys() == set()


@pytest.mark.parametrize("kind", OF_TORCH, ids=lambda kind: kind.__name__)
def test_what_torchs_classes_become(kind: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "cudart", lambda: _CudaRuntime)  # CudaError asks it for a text
    expected = OF_TORCH[kind] or kind
    with pytest.raises(expected) as caught, torch_errors(DeviceLost, "cuda:0 failed", "start again"):
        _raise(made(kind))
    assert caught.type is expected
    if expected is not kind:
        assert str(caught.value).startswith("cuda:0 failed (")


class _CudaRuntime:
    class cudaError:  # noqa: N801 - torch's name
        success = 0

    @staticmethod
    def cudaGetErrorString(code: int) -> str:
        return f"error number {code}"


@pytest.mark.parametrize("text", DEVICE_TEXTS, ids=lambda text: text[:40])
def test_runtime_errors_of_a_device_are_known_by_their_text(text: str) -> None:
    with pytest.raises(DeviceLost) as caught, torch_errors(DeviceLost, "cuda:0 failed", "start again"):
        raise RuntimeError(text)
    assert caught.value.message == f"cuda:0 failed ({text.splitlines()[0][:200].rstrip(' :')})"
    assert caught.value.hint == "start again"
    with pytest.raises(ModelUnusable), weights_errors("w.pt cannot be run", "use other weights"):
        raise RuntimeError(text)


def test_memory_that_the_host_does_not_have_is_a_failed_device() -> None:
    """torch itself says so here, not a text that somebody copied."""
    with (
        pytest.raises(DeviceLost, match=r"(can.t allocate|not enough) memory"),
        torch_errors(DeviceLost, "m", "h"),
    ):
        torch.empty(1 << 50)
    with pytest.raises(DeviceLost, match="MemoryError"), torch_errors(DeviceLost, "m", "h"):
        raise MemoryError


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("manager", ["torch_errors", "weights_errors"])
def test_our_own_errors_pass_with_their_traceback(bug: str, manager: str) -> None:
    """ "The device failed" would send somebody to the shop for a GPU."""
    context = torch_errors(DeviceLost, "m", "h") if manager == "torch_errors" else weights_errors("m", "h")
    with pytest.raises(Exception) as plain:  # noqa: PT011 - whatever Python makes of it
        BUGS[bug]()
    with pytest.raises(plain.type) as caught, context:
        BUGS[bug]()
    assert not isinstance(caught.value, DeviceLost | ModelUnusable)
    assert "in <lambda>" in "".join(traceback.format_exception(caught.value))


def test_our_own_refusals_pass() -> None:
    """They say it better."""
    with pytest.raises(ModelUnusable, match=r"^mine$"), weights_errors("m", "h"):
        raise ModelUnusable("mine")
    with pytest.raises(DeviceOutOfMemory, match=r"^mine$"), torch_errors(DeviceLost, "m", "h"):
        raise DeviceOutOfMemory("mine")


FILE_ERRORS: tuple[Exception, ...] = (
    FileNotFoundError(2, "No such file"),
    PermissionError(13, "Permission denied"),
    IsADirectoryError(21, "Is a directory"),
    EOFError("Ran out of input"),
    pickle.UnpicklingError("Weights only load failed. Re-running with `weights_only` set to `False` ..."),
    zipfile.BadZipFile("File is not a zip file"),
    *(kind("text") for kind in exceptions_of(safetensors)),  # type: ignore[arg-type]
)


@pytest.mark.parametrize("error", FILE_ERRORS, ids=lambda error: type(error).__name__)
def test_errors_of_reading_weights_are_known_by_their_class(error: Exception) -> None:
    assert safetensors.SafetensorError in {type(one) for one in FILE_ERRORS}
    with pytest.raises(ModelUnusable) as caught, weights_errors("w.pt is damaged", "copy it again"):
        raise error
    assert str(caught.value).startswith("w.pt is damaged (")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    "work",
    [
        lambda: registry.net_factory("no_such_network", 3, 3),
        lambda: get_size_from_signature({}),
        lambda: get_size_from_signature({"inputs": None}),
        lambda: get_size_from_signature([]),
        lambda: load_model(torch.device("cpu"), "davit_tiny", path=Path("/gone.pt"), inference=True),
        lambda: registry.net_factory("davit_tiny", 3, 3, config={"depths": "abc"}),
        lambda: load_file("/gone.safetensors"),
        lambda: safe_open("/", "np"),
    ],
)
def test_what_birder_and_safetensors_raise_on_files_is_a_refusal(work: Callable[[], object]) -> None:
    """birder checks little: a file that is not what it claims to be breaks it somewhere, in many ways."""
    with pytest.raises(ModelUnusable), weights_errors("w.pt is damaged", "copy it again"):
        work()


JUNK: tuple[Any, ...] = (None, 3, "x", [], [None], {}, {"inputs": 1}, {"mean": 1, "std": "x"}, {"House sparrow": "x"})
KEYS = ("signature", "state", "class_to_idx", "rgb_stats")


@pytest.mark.parametrize("key", KEYS)
def test_a_pt_file_with_junk_in_any_of_its_entries_is_refused(small: Saved, key: str) -> None:
    whole = torch.load(small.pt, weights_only=True)
    without = {name: value for name, value in whole.items() if name != key}
    for content in (without, *({**whole, key: junk} for junk in JUNK)):
        torch.save(content, small.pt)
        with pytest.raises(ModelUnusable, match=str(small.pt)):
            load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)
    torch.save(whole, small.pt)
    load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)


@pytest.mark.parametrize("content", [*JUNK, {"a": torch.zeros(3)}], ids=str)
def test_a_pt_file_of_something_else_is_refused(small: Saved, content: object) -> None:
    torch.save(content, small.pt)
    with pytest.raises(ModelUnusable, match=str(small.pt)):
        load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)


@pytest.mark.parametrize("key", ["signature", "class_to_idx", "rgb_stats", "config"])
def test_a_safetensors_file_with_junk_in_any_of_its_entries_is_refused(small: Saved, key: str) -> None:
    with safe_open(small.safetensors, "pt") as file:
        metadata = file.metadata()
    state = load_file(small.safetensors)
    # A configuration may be empty, or have entries that the network does not know.
    junk = (3, [None], {"depths": "x"}) if key == "config" else JUNK
    for text in (*map(json.dumps, junk), "{", "\x00"):
        save_file(state, small.safetensors, {**metadata, key: text})
        with pytest.raises(ModelUnusable, match=str(small.safetensors)):
            load_network(ModelSettings(file=small.safetensors, device="cpu"), small.safetensors.parent)


JUNK_TEXTS = (
    *("", "{", "[]", "[" * 1_000_000, "3", "{}", '{"registered_name": 3, "model_config": {}}'),
    json.dumps({"registered_name": "davit" * 1000, "model_config": {}}),
    json.dumps({"registered_name": "davit_tiny", "model_config": {"dims": [16161616, 32, 64, 96]}}),  # 20 s, 9 GB
    json.dumps({"registered_name": "davit_tiny", "model_config": {"depths": [1, 1, 1111, 1]}}),
)


@pytest.mark.parametrize("text", JUNK_TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_configuration_beside_the_weights_that_is_none_is_refused(small: Saved, text: str, encoding: str) -> None:
    beside = small.pt.with_suffix(".json")
    beside.write_text(text, encoding)
    with pytest.raises(ModelUnusable, match=f"{beside} is not a birder configuration"):
        load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"names": "[", "weights": "w"}, {"names": "[1, 2]", "weights": "w"}, {"names": '["a"]', "weights": "w"}],
)
def test_a_reference_whose_parts_do_not_fit_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    tensors = {"embeddings": torch.zeros(2, 3, 4), "energies": torch.zeros(2)}
    save_file(tensors, reference_path(tmp_path / "m.pt"), metadata)
    with pytest.raises(ModelUnusable, match="cannot be read"):
        read_reference(tmp_path / "m.pt", "w")
    save_file({"embeddings": torch.zeros(2, 3, 4)}, reference_path(tmp_path / "m.pt"), {"names": '["a", "b"]'})
    with pytest.raises(ModelUnusable, match="cannot be read"):
        read_reference(tmp_path / "m.pt", "w")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", [TypeError, ValueError, KeyError, AttributeError])
def test_a_bug_while_naming_reaches_the_crew_with_its_traceback(
    small: Saved,
    kind: type[Exception],
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the daemon's log it must be a traceback that ends where the bug is, not a device that failed."""
    before = torch.get_num_threads()
    try:
        network = load_network(ModelSettings(file=small.pt, device="cpu", threads=threads), small.pt.parent)
        monkeypatch.setattr("birdwatchd.species.network.davit.F.layer_norm", _bug_of(kind))
        stop = Stop()
        crew = Crew(stop)
        with caplog.at_level(logging.CRITICAL):
            crew.start("classify", lambda: network.infer(list(np.zeros((40, 3, 64, 64), np.uint8))) and None)
            assert crew.join(60) == []
    finally:
        torch.set_num_threads(before)
    assert type(crew.failure) is kind
    assert stop.is_set()
    assert traceback.extract_tb(crew.failure.__traceback__)[-1].name == "bug"
    assert "in bug" in caplog.text


def _bug_of(kind: type[Exception]) -> Callable[..., torch.Tensor]:
    def bug(*_: object) -> torch.Tensor:
        raise kind("ours")

    return bug


def test_a_bug_while_reading_weights_is_no_damaged_file(small: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody should fetch 107 MB again because a keyword was renamed here."""
    monkeypatch.setattr(checkpoint, "_classes", _bug_of(TypeError))
    with pytest.raises(TypeError, match="ours"):
        load_network(ModelSettings(file=small.pt, device="cpu"), small.pt.parent)


OF_THE_WEB: tuple[Exception, ...] = (
    urllib.error.HTTPError("http://h/f", 503, "Service Unavailable", None, None),  # type: ignore[arg-type]
    urllib.error.URLError(OSError(101, "Network is unreachable")),
    urllib.error.ContentTooShortError("short", None),  # type: ignore[arg-type]
    TimeoutError("timed out"),
    ConnectionResetError(104, "Connection reset by peer"),
    ssl.SSLCertVerificationError(1, "certificate verify failed"),
    ValueError("proxy URL with no authority: 'http:/x'"),
    *(kind(b"part") for kind in exceptions_of(http.client) if issubclass(kind, http.client.HTTPException)),
)


@pytest.mark.parametrize("error", OF_THE_WEB, ids=lambda error: type(error).__name__)
def test_errors_of_a_download_are_download_failed(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`read_checkpoint` makes a ModelUnusable of it that says which file to put where."""
    assert http.client.IncompleteRead in {type(one) for one in OF_THE_WEB}
    monkeypatch.setattr("birdwatchd.species.network.download.urlopen", lambda *a, **k: _raise(error))
    with pytest.raises(DownloadFailed):
        download("http://h/f", tmp_path / "f", "0" * 64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [TypeError, KeyError, AttributeError, ValueError])
def test_a_bug_in_the_download_is_no_dead_server(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def progress(_name: str) -> Callable[[int, int], None]:
        raise kind("ours")

    monkeypatch.setattr("birdwatchd.species.network.download._progress_on_stderr", progress)
    with pytest.raises(kind, match="ours"):
        download("http://h/f", tmp_path / "f", "0" * 64, progress=True)
    assert list(tmp_path.iterdir()) == []
