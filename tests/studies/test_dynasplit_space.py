"""DynaSplit's space has exactly the published configurations, and no infeasible one."""

import math

import numpy as np
import pytest

from dse.core.errors import SpaceError
from dse.core.parameters import Integer, Ordinal
from search_spaces.dynasplit import DOMAIN, NETWORKS, budget, dynasplit_space, narrowed

# Valid configurations and 20 % budgets of the four published networks, derived from the constraints
# that come with the published code (arXiv 2410.23881); an encoder of 12 or 6 layers follows the
# transformer's rule: 14 + 14 (L - 1) + 7.
SIZES = {
    "vgg16": (966, 917, 184),
    "resnet50": (1722, 1673, 335),
    "mobilenetv2": (3192, 3143, 629),
    "vit": (840, 273, 55),
    "bert-base": (546, 175, 35),
    "minilm-l6": (294, 91, 19),
}


@pytest.mark.parametrize("network", SIZES)
def test_sizes_are_the_published_ones(network):
    raw, valid, share = SIZES[network]
    space = dynasplit_space(network)
    assert math.prod(p.count or 0 for p in space.parameters) == raw
    assert space.size == valid
    assert sum(len(rows) for rows in space.enumerate()) == valid
    assert budget(valid) == share


@pytest.mark.parametrize("network", SIZES)
def test_no_configuration_breaks_a_constraint(network):
    space, deepest = dynasplit_space(network), NETWORKS[network].layers
    for rows in (np.concatenate(list(space.enumerate())),
                 space.sample(500, np.random.default_rng(1))):  # fmt: skip
        design = space.decode(rows)
        active = design["tpu_mode"] != "off"
        assert not (active & (design["split_layer"] == 0)).any()
        assert not ((design["split_layer"] == deepest) & (design["cloud_gpu"] == "on")).any()
        assert active.any() == NETWORKS[network].on_tpu


def test_a_share_of_a_space_is_rounded_up_as_written():
    # In floats 0.07 * 100 is 7.000000000000001, whose ceiling is 8.
    assert budget(100, 0.07) == 7
    assert budget(1) == 1


def test_narrower_knobs_keep_the_rules_that_still_apply():
    middle = Integer("split_layer", 3, 5, "layer", stage="run")
    assert narrowed("vgg16", (middle, *DOMAIN[1:])).size == 3 * 7 * 3 * 2
    ends = Ordinal("split_layer", (0.0, 22.0), "layer", stage="run")
    assert narrowed("vgg16", (ends, *DOMAIN[1:])).size == 14 + 21


def test_a_cut_deeper_than_the_network_is_refused():
    with pytest.raises(SpaceError, match=r"split_layer = 75 layer is deeper than vit, .* 19"):
        narrowed("vit", DOMAIN)
