"""Laws of the table of layers: what it refuses, its text, its cuts, and its exits."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.workload import (
    EncoderShape,
    Product,
    Size,
    Tensor,
    Vector,
    Workload,
    encoder,
    from_config,
    with_exits,
)

CONFIG = {
    "model_type": "bert",
    "num_hidden_layers": 4,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 200,
    "max_position_embeddings": 130,
    "type_vocab_size": 2,
}
SMALL = from_config(CONFIG, tokens=64)


@st.composite
def encoders(draw):
    layers, heads = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    shape = EncoderShape(
        layers=layers,
        hidden=heads * draw(st.integers(1, 9)),
        heads=heads,
        ffn=draw(st.integers(1, 50)),
        embedding=draw(st.integers(1, 20)),
        vocabulary=draw(st.integers(1, 100)),
        positions=70,
        segments=draw(st.integers(0, 2)),
        classes=draw(st.integers(2, 5)),
        groups=draw(st.integers(1, layers)),
        off_ramp=draw(st.sampled_from(["pooler", "mean_pool"])),
        unused=draw(st.integers(0, 2)),
    )
    tokens = draw(st.integers(1, 68))
    keys = draw(st.none() | st.lists(st.integers(0, tokens), min_size=heads, max_size=heads))
    return shape, encoder(shape, tokens, keys=keys)


@given(encoders())
def test_the_text_of_a_table_is_the_table(both):
    _, workload = both
    assert Workload.from_json(workload.to_json()) == workload


@given(encoders(), st.data())
def test_a_network_cut_behind_a_layer_runs_what_stands_before(both, data):
    shape, workload = both
    layer = data.draw(st.integers(1, shape.layers))
    cut = workload.up_to(layer)
    assert cut.macs() == sum(workload.macs(stage) for stage in range(layer + 1))
    assert cut.parameters() == sum(workload.parameters(stage) for stage in range(layer + 1))
    assert cut.cuts == workload.cuts[: layer + 1]
    assert cut.exits == tuple(range(1, layer + 1))
    assert workload.up_to(shape.layers) == workload
    assert data.draw(st.sampled_from(range(layer, shape.layers + 1))) >= layer


@given(encoders())
def test_stages_and_roles_add_up_to_the_network(both):
    shape, workload = both
    stages = range(shape.layers + 1)
    assert sum(map(workload.macs, stages)) == pytest.approx(workload.macs(), rel=1e-12)
    assert sum(map(workload.parameters, stages)) == workload.parameters()
    roles = (workload.parameters(role=role) for role in ("embedding", "weight", "dense"))
    assert sum(roles) == workload.parameters()


@given(encoders())
def test_parameters_are_those_of_the_shape(both):
    shape, workload = both
    assert workload.parameters() == (
        shape.embedding_parameters
        + shape.projection_parameters
        + shape.encoder_parameters
        + shape.layers * shape.off_ramp_parameters
    )
    assert workload.groups == 1 + shape.groups
    assert workload.longest == shape.positions - shape.unused


@given(st.integers(1, 12), st.data())
def test_layers_that_share_weights_are_as_many_in_each_group_up_to_one(layers, data):
    groups = data.draw(st.integers(1, layers))
    config = {**CONFIG, "model_type": "albert", "embedding_size": 48, "num_hidden_layers": layers,
              "num_hidden_groups": groups}  # fmt: skip
    workload = from_config(config, tokens=8)
    users = [tensor.stages for tensor in workload.tensors if tensor.name.endswith("ffn_in")]
    assert [stage for stages in users for stage in stages] == list(range(1, layers + 1))
    # The rule of ALBERT in transformers, counted from 0.
    assert [len(stages) for stages in users] == [
        sum(int(i / (layers / groups)) == group for i in range(layers)) for group in range(groups)
    ]


@pytest.mark.parametrize("model", ["roberta", "xlm-roberta", "camembert"])
def test_positions_behind_the_padding_are_fewer_than_rows(model):
    config = {**CONFIG, "model_type": model, "max_position_embeddings": 514, "pad_token_id": 1}
    assert EncoderShape.from_config(config).longest == 512
    assert from_config(config, tokens=512).longest == 512
    with pytest.raises(ValueError, match="tokens = 513 is outside 1 to 512"):
        from_config(config, tokens=513)


def test_roberta_and_electra_have_the_parameters_of_their_architectures():
    base = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12,
            "intermediate_size": 3072}  # fmt: skip
    roberta = EncoderShape.from_config(
        {**base, "model_type": "roberta", "vocab_size": 50265, "max_position_embeddings": 514,
         "type_vocab_size": 1}
    )  # fmt: skip
    # 125 million (arXiv 1907.11692), of them 0.6 in a pooler.
    assert roberta.encoder_parameters + roberta.embedding_parameters == 124_055_040
    electra = EncoderShape.from_config(
        {**base, "model_type": "electra", "hidden_size": 256, "embedding_size": 128,
         "num_attention_heads": 4, "intermediate_size": 1024, "vocab_size": 30522,
         "max_position_embeddings": 512, "type_vocab_size": 2}
    )  # fmt: skip
    # ELECTRA-Small, 14 million (arXiv 2003.10555) with its head.
    assert (
        electra.encoder_parameters + electra.embedding_parameters + electra.projection_parameters
        == 13_483_008
    )


def test_a_size_says_what_it_is_multiplied_with():
    assert [str(Size(3)), str(Size(1, "tokens")), str(Size(12, "heads"))] == [
        "3", "tokens", "12 heads",
    ]  # fmt: skip
    assert Size(12, "heads").at({"heads": 2.0}) == 24


ROW = Product(1, "p", "weight", Size(1), Size(2), Size(3), tensor="w")
WEIGHT = Tensor("w", 6, "weight", 1, (1,))
OTHER: Any = "sparse"


def small(**changes):
    fields: dict[str, Any] = {
        "name": "n", "layers": 1, "tokens": 1.0, "heads": 1.0, "products": (ROW,), "vectors": (),
        "tensors": (WEIGHT,), "cuts": (Size(2), Size(3)), "exits": (), "longest": 1.0,
    }  # fmt: skip
    return Workload(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0, "cuts": (Size(1),)}, "layers = 0 of 'n' must be at least 1"),
        ({"tokens": 2.0}, "tokens = 2 of 'n' is outside 1 to 1"),
        ({"cuts": (Size(1),)}, "cuts of 'n' has 1 sizes; stages 0 to 1 have 2"),
        ({"tensors": (WEIGHT, WEIGHT)}, "two tensors of 'n' share a name"),
        (
            {"tensors": (WEIGHT._replace(stages=()),)},
            "'w' of 'n' is used in stages \\[\\]; name one at least",
        ),
        ({"tensors": (WEIGHT._replace(role=OTHER),)}, "role = 'sparse' is not one of"),
        ({"tensors": (WEIGHT._replace(stages=(2,)),)}, "stage = 2 of 'n' is outside 0 to 1"),
        ({"products": (ROW._replace(stage=-1),)}, "stage = -1 of 'n' is outside 0 to 1"),
        ({"vectors": (Vector(3, "add", Size(1), Size(1)),)}, "stage = 3"),
        ({"exits": (2,)}, "stage = 2"),
        ({"products": (ROW._replace(kind=OTHER),)}, "kind = 'sparse' is not one of"),
        ({"products": (ROW._replace(tensor="v"),)}, "kind 'weight' and names tensor 'v'"),
        ({"products": (ROW._replace(kind="activation"),)}, "kind 'activation' and names"),
    ],
)
def test_a_table_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_a_product_with_rows_that_are_looked_up_is_a_dense_one():
    tied = WEIGHT._replace(role="embedding", stages=(0, 1))
    assert small(tensors=(tied,), products=(ROW._replace(kind="dense"),)).parameters(0) == 6


@pytest.mark.parametrize("layer", [0, 5])
def test_a_cut_behind_no_layer_is_refused(layer):
    with pytest.raises(ValueError, match=f"layer = {layer} is outside 1 to 4, those of bert"):
        SMALL.up_to(layer)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 1}'])
def test_another_text_is_refused(text):
    with pytest.raises(ValueError, match="no workload as `to_json` writes it"):
        Workload.from_json(text)


def test_exits_stand_behind_the_layers_that_are_named():
    bare = replace(SMALL, exits=())
    bare = replace(
        bare,
        products=tuple(p for p in bare.products if p.name not in ("pooler", "classifier")),
        vectors=tuple(v for v in bare.vectors if v.kind != "entropy"),
        tensors=tuple(t for t in bare.tensors if not t.name.startswith("exit.")),
    )
    assert with_exits(bare, 2, "pooler") == SMALL
    two = with_exits(bare, 2, "pooler", behind=(2, 4))
    assert two.exits == (2, 4)
    assert [two.macs(s) - bare.macs(s) for s in range(5)] == [0, 0, 48 * 50, 0, 48 * 50]
    with pytest.raises(ValueError, match=r"layers \[2\] of 'bert' have an exit already"):
        with_exits(two, 2, behind=(1, 2))
    with pytest.raises(ValueError, match="classes = 1 must be at least 2"):
        with_exits(bare, 1)
