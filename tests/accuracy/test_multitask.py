from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from dse.accuracy.networks.multitask import stored
from dse.accuracy.networks.training import Trained
from dse.core.errors import DseError


@pytest.fixture
def networks(tmp_path):
    """Three tasks: two on one backbone, the third on its own; the embeddings are equal."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(100, 8, generator=generator)
    common = torch.randn(8, 8, generator=generator)
    found = []
    for number, backbone in enumerate((common, common, torch.randn(8, 8, generator=generator))):
        tensors = {
            "encoder.embeddings.weight": embeddings.clone(),
            "encoder.position_ids": torch.arange(7),
            "encoder.layer.weight": backbone.clone(),
            "off_ramps.weight": torch.randn(3, 2, 8, generator=generator),
        }
        path = tmp_path / f"{number}.safetensors"
        save_file(tensors, path)
        found.append(Trained(path, str(number), tmp_path))
    return found


def test_what_networks_share_is_counted_once(networks):
    both = stored(networks[:2])
    assert both.shared == 100 * 8 + 8 * 8
    assert both.own == (3 * 2 * 8, 3 * 2 * 8)
    three = stored(networks)
    assert three.shared == 100 * 8 + 8 * 8  # the common backbone is read by two of three
    assert three.own == (48, 48, 64 + 48)
    assert three.total == 864 + 48 + 48 + 112


def test_one_network_shares_nothing(networks):
    assert stored(networks[:1]).shared == 0
    assert stored([networks[0], replace(networks[0], sha256="x")]).own == (0, 0)


def test_no_network_is_refused():
    with pytest.raises(DseError, match="at least one"):
        stored([])
