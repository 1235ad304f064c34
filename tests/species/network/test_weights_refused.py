"""A model that cannot be right is refused at start, in a sentence that names the file and says what to do."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from birdwatchd.errors import ModelUnusable
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.network import Network, agrees, load_network
from tests.support.random_networks import SMALL, Saved, class_names, save


def load(path: Path, **more: Any) -> Network:
    """Load a file of one's own on the CPU."""
    return load_network(ModelSettings(file=path, device="cpu", **more), path.parent)


def refusal(path: Path, **more: Any) -> str:
    """Load it, expect a refusal, and return its sentence."""
    with pytest.raises(ModelUnusable) as caught:
        load(path, **more)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


class Bomb:
    """Runs a command when unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_a_pickle_with_code_is_refused_and_does_not_run(small: Saved, tmp_path: Path) -> None:
    """Weights come from strangers; a `.pt` file is a program unless it is read with weights_only."""
    trace = tmp_path / "ran"
    small.pt.write_bytes(pickle.dumps({"state": Bomb(trace)}, protocol=2))
    assert "holds code, which is refused" in refusal(small.pt)
    torch.save({"state": Bomb(trace)}, small.pt)
    message = refusal(small.pt)
    assert not trace.exists()
    assert "weights_only" not in message, "torch's advice to load it unsafely reached the user"


@pytest.mark.parametrize("network", ["crossvit_9d", "deit_t16", "efficientvim_m1", "rexnet_lite_1_0", "squeezenet"])
def test_a_network_that_does_not_fit_is_refused_before_it_is_fetched(network: str, tmp_path: Path) -> None:
    """Some ended `run` with a traceback, others with "names 371 classes, but its network answers with 371"."""
    (tmp_path / f"{network}_x.pt").touch()
    assert "by more than one vector; `birdwatchd models` lists" in refusal(tmp_path / f"{network}_x.pt")
    with pytest.raises(ModelUnusable, match="more than one vector"):
        load_network(ModelSettings(name=f"{network}_il-common", device="cpu", download=True), tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 1000, 40_000, -1])
def test_a_file_cut_short_is_refused(small: Saved, kind: str, kept: int) -> None:
    """A disk that ran full while copying is the commonest damage there is."""
    path: Path = getattr(small, kind)
    path.write_bytes(path.read_bytes()[:kept])
    refusal(path)


def test_a_pipe_in_the_place_of_weights_is_refused(small: Saved) -> None:
    """Nobody writes into it, and the start would wait for ever."""
    small.safetensors.unlink()
    os.mkfifo(small.safetensors)
    assert "is not a file" in refusal(small.safetensors)


def test_a_file_of_noise_is_refused(small: Saved) -> None:
    """An HTML page saved as weights must not end in a traceback."""
    for path in (small.pt, small.safetensors):
        path.write_bytes(np.random.default_rng(1).bytes(5000))
        refusal(path)


def test_weights_of_another_network_are_refused(small: Saved) -> None:
    """The name decides the architecture, so a wrong name must not load half of the weights."""
    for path in (small.pt, small.safetensors):
        assert "not weights of davit_tiny" in refusal(path, name="davit_tiny_garden")


def test_a_safetensors_file_without_birders_header_is_refused(small: Saved) -> None:
    """Without class names every number would be nameless."""
    save_file({"weight": torch.zeros(3)}, small.safetensors)
    refusal(small.safetensors)


def test_more_names_than_outputs_are_refused(small_net: Any, tmp_path: Path) -> None:
    """One class too many and every bird carries its neighbour's name."""
    saved = save(small_net, tmp_path, f"{SMALL}_x", class_names(8), 64, SMALL, claimed=7)
    for path in (saved.pt, saved.safetensors):
        assert "names 8 classes, but its network answers with 7" in refusal(path)


def test_classes_with_a_gap_are_refused(small: Saved) -> None:
    """Sorting the names hides a missing number, and all names after it move by one."""
    content = torch.load(small.pt, weights_only=True)
    content["class_to_idx"]["Unknown"] = 9
    torch.save(content, small.pt)
    assert "gaps" in refusal(small.pt)


def test_weights_that_answer_nan_are_refused(small: Saved) -> None:
    """NaN is below every threshold: the daemon would run for ever and never name a bird."""
    content = torch.load(small.pt, weights_only=True)
    content["state"]["classifier.bias"][2] = float("nan")
    torch.save(content, small.pt)
    assert "NaN" in refusal(small.pt)


def test_a_missing_file_and_a_strange_format_are_named(tmp_path: Path) -> None:
    """A typing mistake in model.file is the first thing that happens to anybody."""
    refusal(tmp_path / "davit_tiny_gone.pt")
    assert ".safetensors" in refusal(tmp_path / "davit_tiny.onnx")


def test_an_unknown_network_says_how_to_name_it(small: Saved) -> None:
    """Files are called `best.pt`; then the network's name has to come from elsewhere."""
    nameless = small.pt.rename(small.pt.with_name("best.pt"))
    assert "set model.name" in refusal(nameless)
    assert load(nameless, name=f"{SMALL}_mine").name == f"{SMALL}_mine"


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_a_configuration_beside_the_weights_names_the_network(small: Saved, small_net: Any, kind: str) -> None:
    """birder writes such a file for networks with a shape of their own, which no name stands for."""
    path: Path = getattr(small, kind)
    renamed = path.rename(path.with_name(f"best.{kind}"))
    config = {"name": "davit", "registered_name": "davit_tiny", "model_config": small_net.config}
    renamed.with_suffix(".json").write_text(json.dumps(config))
    assert load(renamed).name == "best"
    renamed.with_suffix(".json").write_text("{")
    with pytest.raises(ModelUnusable, match=r"best\.json is not a birder configuration"):
        load(renamed)


def test_asking_for_a_gpu_that_is_not_there_is_refused(small: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes `cuda` means it: thirty cameras on a CPU by accident is a week of lost birds."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelUnusable, match=r"model\.device is cuda:1, .* 0 CUDA devices; .*nvidia-smi"):
        load_network(ModelSettings(file=small.pt, device="cuda:1"), small.pt.parent)


def test_a_lower_precision_is_held_against_float32(small: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device or precision that gives other numbers than the CPU's must not name birds."""
    half = load(small.pt, precision="bfloat16")
    assert half.device == "cpu, bfloat16"
    monkeypatch.setattr("birdwatchd.species.network.network._MIN_COSINE", {torch.bfloat16: 1.1})
    assert "gives other results than the CPU" in refusal(small.pt, precision="bfloat16")


def test_agreement_is_about_direction() -> None:
    """Zeros and NaN are what broken drivers answer; neither may count as agreement."""
    reference = np.array([[3.0, 4.0]], np.float32)
    assert agrees(reference, reference * 2, 0.9999)
    for wrong in ([[4.0, 3.0]], [[0.0, 0.0]], [[np.nan, 4.0]], [[-3.0, -4.0]]):
        assert not agrees(reference, np.array(wrong, np.float32), 0.99)


def test_threads_are_what_the_settings_say(small: Saved) -> None:
    """On a small machine the classifier must leave cores to the cameras."""
    before = torch.get_num_threads()
    try:
        load(small.pt, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
