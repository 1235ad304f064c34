"""Every network that `birdwatchd models` lists can be used: it is loaded with random weights, and names a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdwatchd.species.network import checkpoint
from birdwatchd.species.network.network import Network, choose_device
from birdwatchd.species.published import PublishedModel, bird_classifiers, published_entries
from tests.support.peers import ALL, LONG
from tests.support.random_networks import class_names, registry, save

pytestmark = [pytest.mark.slow, LONG]


def listed() -> dict[tuple[str, bool], PublishedModel]:
    """One model of each network, and of each that is saved reparameterized."""
    entries, found = published_entries(), {}
    for one in bird_classifiers():
        net = entries[one.name]["net"]
        found[str(net["network"]), bool(net.get("reparameterized"))] = one
    return found


MODELS = listed() if ALL else {}  # reading the list takes a second, also where these tests are left out


@pytest.mark.parametrize(("network", "reparameterized"), MODELS)
def test_a_listed_network_names_and_describes_a_picture(network: str, reparameterized: bool, tmp_path: Path) -> None:
    """Otherwise somebody downloads half a gigabyte to be told that it is of no use."""
    size = MODELS[network, reparameterized].size
    net = registry.net_factory(network, 20, 3, size=size)
    if reparameterized:
        net.reparameterize_model()
    saved = save(net, tmp_path, "x", class_names(20), size[0], network)
    weights = checkpoint._Weights("x", saved.pt, "0" * 64, network, None, reparameterized)
    assert len(Network(checkpoint._read(weights), choose_device("cpu")).labels) == 20
