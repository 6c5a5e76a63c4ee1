"""A traced network against its configuration, published counts, and torch's own counter."""

import copy
import subprocess
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from hw_models.machine import ArrayChip
from hw_models.systems.chip import Chip
from hw_models.workload import Size, Workload, from_config, trace, with_exits
from hw_models.workload.table import product_of

TOKENS = 64
IDS = torch.zeros((1, TOKENS), dtype=torch.long)
IMAGE = torch.zeros(1, 3, 224, 224)
ROWS = {"vocab_size": 200, "max_position_embeddings": 130}
BERT = {
    "num_hidden_layers": 3,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    **ROWS,
}
DISTILBERT = {"n_layers": 3, "dim": 48, "n_heads": 4, "hidden_dim": 96, **ROWS}
SEGMENTS = {"embeddings.token_type_embeddings": 1}
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bert": (BERT, {"without": ["pooler"], "rows": SEGMENTS}),
    "albert": (
        {**BERT, "embedding_size": 24},
        {"without": ["pooler", "pooler_activation"], "rows": SEGMENTS},
    ),
    "albert in two groups": (
        {**BERT, "num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": 24},
        {"without": ["pooler", "pooler_activation"], "rows": SEGMENTS},
    ),
    "distilbert": (DISTILBERT, {}),
    "roberta": ({**BERT, "type_vocab_size": 1}, {"without": ["pooler"]}),
    "electra": ({**BERT, "embedding_size": 24}, {"rows": SEGMENTS}),
}


def network(model_type, attention="eager", auto=transformers.AutoModel, **sizes):
    """A transformers network on the meta device, and its configuration."""
    config = transformers.AutoConfig.for_model(model_type, **sizes)
    with torch.device("meta"):
        return auto.from_config(config, attn_implementation=attention), config.to_dict()


def canonical(workload: Workload):
    """What a price reads of a table: equal rows added up, activations apart."""
    products: dict[object, float] = defaultdict(float)
    vectors: dict[object, float] = defaultdict(float)
    elements: dict[object, float] = defaultdict(float)
    read: dict[object, float] = defaultdict(float)
    for product in workload.products:
        *shape, copies = product.shape
        products[product.stage, product.kind, *shape, copies.symbol] += copies.base
    for vector in workload.vectors:
        if not vector.kind.startswith("activation:"):  # what a configuration leaves to the machine
            *shape, copies = vector.shape
            vectors[vector.stage, vector.kind, *shape, copies.symbol] += copies.base
    for tensor in workload.tensors:
        elements[tensor.role, tensor.group, tensor.stages] += tensor.elements
        if tensor.read.base:
            read[tensor.stages, tensor.read.symbol] += tensor.read.base
    sizes = workload.layers, workload.tokens, workload.heads, workload.cuts, workload.exits
    return products, vectors, elements, read, sizes


def prices(workload):
    """A few designs of EdgeBERT's chip with the network on it."""
    searched = ("pruning_ratio", "weight_bits", "envm_cell", "vdd", "weight_store", "mac_width")
    designs = {
        "pruning_ratio": np.array([0.0, 0.6, 0.3]), "weight_bits": np.array([8, 5, 12]),
        "envm_cell": np.array(["rram", "rram_mlc2", "sram"]), "vdd": np.array([0.8, 0.55, 0.7]),
        "weight_store": np.array(["envm", "sram", "dram"]), "mac_width": np.array([16, 32, 8]),
    }  # fmt: skip
    limit = np.ones(3)
    return Chip(ArrayChip(), workload, searched).depths(designs, limit, limit)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_traced_encoder_is_the_one_that_its_configuration_says(family, attention):
    sizes, said = FAMILIES[family]
    module, config = network(family.split()[0], attention, **sizes)
    traced = with_exits(trace(module, IDS, **said), 3, "pooler")
    written = from_config(config, tokens=TOKENS, classes=3)
    for one, other in zip(canonical(traced), canonical(written), strict=True):
        assert one == other
    ours, theirs = prices(traced), prices(written)
    for name in ("energy", "latency", "area"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12)


@settings(max_examples=4, deadline=None)
@given(
    layers=st.integers(2, 3),
    heads=st.integers(1, 4),
    width=st.integers(1, 6),
    ffn=st.integers(1, 40),
    tokens=st.integers(2, 90),
)
def test_a_traced_encoder_of_any_size_is_the_one_of_its_configuration(
    layers, heads, width, ffn, tokens
):
    sizes = {"num_hidden_layers": layers, "hidden_size": 2 * heads * width, "type_vocab_size": 1,
             "num_attention_heads": heads, "intermediate_size": ffn}  # fmt: skip
    module, config = network("roberta", **{**BERT, **sizes})
    ids = torch.zeros((1, tokens), dtype=torch.long)
    traced = trace(module, ids, without=["pooler"], blocks="encoder.layer.*")
    written = from_config(config, tokens=tokens, off_ramp="mean_pool")
    assert canonical(with_exits(traced, 2)) == canonical(written)


@given(tokens=st.integers(1, 90))
@settings(max_examples=4, deadline=None)
def test_symbols_say_what_a_pass_at_another_length_finds(tokens):
    module, _ = network("bert", **BERT | {"num_hidden_layers": 1})
    sizes = {"tokens": float(tokens), "keys": float(tokens), "heads": 4.0}
    ids, blocks = torch.zeros((1, tokens), dtype=torch.long), "encoder.layer.*"
    here = trace(module, IDS, blocks=blocks).products
    there = trace(module, ids, blocks=blocks, tokens=1).products
    assert len(there) == 9
    assert [product_of(row.shape, sizes) for row in here] == [
        product_of(row.shape, {}) for row in there
    ]


class Vgg16(nn.Module):
    """Configuration D of arXiv 1409.1556."""

    def __init__(self):
        super().__init__()
        parts, channels = [], 3
        for width, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(repeats):
                parts += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            parts.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000),
        )  # fmt: skip

    def forward(self, image):
        return self.classifier(self.features(image).flatten(1))


def on_meta(make):
    with torch.device("meta"):
        return make()


def image_network(model_type, **sizes):
    auto = transformers.AutoModelForImageClassification
    return network(model_type, auto=auto, num_labels=1000, **sizes)[0]


# Multiply-accumulates and parameters as torchvision publishes them beside its weights. Its figure
# for ViT counts the products of attention, and those of all others convolutions and dense layers.
@pytest.mark.parametrize(
    ("make", "macs", "parameters", "layers"),
    [
        (lambda: on_meta(Vgg16), 15.47e9, 138_357_544, 16),
        (lambda: image_network("mobilenet_v2"), 0.3008e9, 3_504_872, 16),
        (lambda: image_network("resnet"), 4.089e9, 25_557_032, 16),
        (lambda: image_network("vit"), 17.56e9, 86_567_656, 12),
    ],
    ids=["vgg16", "mobilenet_v2", "resnet50", "vit_b_16"],
)
def test_an_image_network_takes_the_published_operations(make, macs, parameters, layers):
    traced = trace(make(), IMAGE)
    digits = 10**-4 if macs < 5e9 else 4e-4
    assert traced.macs() == pytest.approx(macs, rel=digits)
    assert traced.parameters() == parameters
    assert traced.layers == layers
    assert (traced.tokens, traced.heads) == (1, 1)
    assert traced.cuts[-1] == Size(1000)
    found = prices(traced)
    assert np.isfinite(found.energy).all()
    assert (np.diff(found.energy, axis=0) > 0).all()
    assert (np.diff(found.latency, axis=0) > 0).all()


def test_a_network_without_blocks_is_cut_at_every_product():
    traced = trace(on_meta(Vgg16), IMAGE)
    assert [row.stage for row in traced.products] == list(range(1, 17))
    assert {row.kind for row in traced.products} == {"weight"}
    assert traced.cuts[:3] == (Size(3 * 224**2), Size(64 * 224**2), Size(64 * 112**2))
    assert traced.name == "Vgg16"


class With(nn.Module):
    """A function of an input and a weight."""

    def __init__(self, function, *shape):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return self.function(x, self.weight)


def grouped(x, weight):
    x = x @ weight
    query, few = x.view(1, -1, 8, 4).transpose(1, 2), x[..., :8].view(1, -1, 2, 4).transpose(1, 2)
    return scaled_dot_product_attention(query, few, few, enable_gqa=True)


def encoder_layers():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 3)


X = torch.zeros(1, 16, 32)
ODD: dict[str, tuple[nn.Module, Any, int, float]] = {
    "einsum": (With(lambda x, w: torch.einsum("bsd,hde->bhse", x, w), 4, 32, 8), X, 1024, 16384),
    "einsum, weight first": (
        With(lambda x, w: torch.einsum("od,bsd->bso", w, x), 8, 32), X, 256, 4096,
    ),
    "a weight used twice, once transposed": (With(lambda x, w: x @ w @ w.T, 32, 8), X, 256, 8192),
    "a copied weight": (
        With(lambda x, w: x @ w.permute(1, 0).reshape(32, 8).clone(), 8, 32), X, 256, 4096,
    ),
    "grouped convolution": (
        nn.Conv1d(8, 16, 3, groups=4, padding=1), torch.zeros(1, 8, 20), 112, 1920,
    ),
    "transposed convolution": (
        nn.ConvTranspose2d(8, 16, 3, stride=2, groups=4), torch.zeros(1, 8, 5, 5), 304, 7200,
    ),
    "grouped queries": (With(grouped, 32, 32), X, 1024, 16 * 32 * 32 + 2 * 8 * 16 * 16 * 4),
    "LSTM": (nn.LSTM(8, 16), torch.zeros(3, 1, 8), 1664, 3 * 24 * 64),
    "GRU": (nn.GRU(8, 16), torch.zeros(3, 1, 8), 1248, 3 * 24 * 48),
    "nn.TransformerEncoder": (encoder_layers(), X, 25632, 442368),
    "MultiheadAttention": (
        nn.MultiheadAttention(32, 4, batch_first=True), (X, X, X), 4224, 4 * 16 * 32**2 + 16384,
    ),
}  # fmt: skip


@pytest.mark.parametrize("cpu", [False, True], ids=["meta", "cpu"])
@pytest.mark.parametrize("odd", ODD)
def test_the_products_of_an_odd_module_are_all_found(odd, cpu):
    module, example, parameters, macs = ODD[odd]
    traced = trace(module, example, cpu=cpu)
    assert traced.macs() == macs
    assert traced.parameters() == parameters
    tied = {row.tensor for row in traced.products} - {""}
    assert tied <= {tensor.name for tensor in traced.tensors}


@pytest.mark.parametrize("odd", ODD)
def test_the_counter_of_torch_finds_as_many_operations(odd):
    module, example, _, _ = ODD[odd]
    arguments = example if isinstance(example, tuple) else (example,)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(module).to("meta")(*(x.to("meta") for x in arguments))
    assert counter.get_total_flops() == 2 * trace(module, example).macs()


def test_attention_over_tokens_of_floating_point_gets_its_symbols():
    traced = trace(encoder_layers(), X, tokens=16)
    assert (traced.tokens, traced.heads, traced.layers) == (16, 4, 3)
    rows = {row.name: row.shape for row in traced.products if row.stage == 1}
    assert [*map(str, rows["scores"])] == ["tokens", "8", "keys", "heads"]
    assert [*map(str, rows["context"])] == ["tokens", "keys", "8", "heads"]
    assert [*map(str, rows["self_attn.in_proj_weight"])] == ["tokens", "32", "24 heads", "1"]
    assert set(traced.cuts) == {Size(32, "tokens")}


def test_a_cut_that_grows_with_the_square_of_the_tokens_is_refused():
    module = nn.MultiheadAttention(32, 4, batch_first=True)  # no blocks: cut behind the scores too
    with pytest.raises(
        ValueError, match=r"crosses behind stage 2 \(blocks=.*\) is .* at 16 tokens"
    ):
        trace(module, (X, X, X), tokens=16)


def test_a_tied_head_names_the_embedding_that_it_multiplies_with():
    sizes = {"n_layer": 2, "n_embd": 48, "n_head": 4, "vocab_size": 100, "n_positions": 64,
             "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
    module, _ = network("gpt2", auto=transformers.AutoModelForCausalLM, **sizes)
    traced = trace(module, IDS)
    head = traced.products[-1]
    table = {tensor.name: tensor for tensor in traced.tensors}[head.tensor]
    assert (head.stage, head.kind, table.role, table.stages) == (2, "dense", "embedding", (0, 2))
    assert traced.parameters() == sum(p.numel() for p in module.parameters())
    assert [v.kind for v in traced.vectors].count("activation:newgelu") == 2
    assert [v.kind for v in traced.vectors if v.stage == 1].count("add") == 2


def test_a_path_that_values_decide_on_is_refused_without_values():
    module = With(lambda x, w: x @ w if x.sum() > 0 else x @ w @ w, 8, 8)
    with pytest.raises(ValueError, match=r"in itself: .*meta tensors. If .* give cpu=True"):
        trace(module, torch.zeros(2, 8))
    assert trace(module, torch.zeros(2, 8), cpu=True).macs() == 2 * 2 * 64
    assert trace(module, torch.ones(2, 8), cpu=True).macs() == 2 * 64


@pytest.mark.parametrize(
    ("operation", "function"),
    [
        ("roll", lambda x, w: torch.roll(x, 1, 0) @ w),
        ("flip", lambda x, w: x.flip(0) @ w),
        ("_fft_r2c", lambda x, w: torch.fft.fft(x @ w)),
    ],
)
def test_an_unknown_operation_is_refused_until_it_is_called_free(operation, function):
    module = With(function, 8, 8)
    with pytest.raises(ValueError, match=rf"know: {operation} in .*free=\['{operation}'\]"):
        trace(module, torch.zeros(4, 8))
    assert trace(module, torch.zeros(4, 8), free=[operation]).macs() == 4 * 64


def test_an_operation_of_another_package_is_unknown_by_its_whole_name():
    @torch.library.custom_op("edge_dse_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    twice.register_fake(lambda x: torch.empty_like(x))
    module = With(lambda x, w: twice(x @ w), 8, 8)
    with pytest.raises(ValueError, match=r"free=\['edge_dse_test::twice'\]"):
        trace(module, torch.zeros(4, 8))
    assert trace(module, torch.zeros(4, 8), free=["edge_dse_test::twice"]).macs() == 256


class Block(nn.Module):
    """A gated block with a norm and an activation put together from operations."""

    def __init__(self):
        super().__init__()
        self.norm, self.act = nn.RMSNorm(16), Composed()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        return x + self.down(self.act(self.up(self.norm(x))))


class Composed(nn.Module):
    """gelu_new, arXiv 1606.08415, with its two inner sums."""

    def forward(self, x):
        return 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.045 * x**3)))


def test_a_composed_activation_is_one_row_and_a_residual_sum_another():
    traced = trace(nn.Sequential(Block(), Block()), torch.zeros(1, 16), tokens=1)
    kinds = [row.kind for row in traced.vectors if row.stage == 1]
    assert kinds == ["norm", "activation:composed", "add"]
    assert traced.name == "Sequential by Block"
    assert traced.cuts == (Size(16), Size(16), Size(16))


class RootMeanSquare(nn.Module):
    """A norm put together from operations, arXiv 1910.07467."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def test_a_composed_norm_is_one_row():
    module = nn.Sequential(nn.Linear(16, 16), RootMeanSquare())
    traced = trace(module, torch.zeros(1, 5, 16))
    (row,) = traced.vectors
    assert (row.kind, *row.shape) == ("norm", Size(5), Size(16), Size(1))
    assert traced.parameters(role="dense") == 16 + 16


class Skipping(nn.Module):
    """What the first block makes is read again behind the second."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x):
        one = self.blocks[0](x)
        two = self.blocks[1](one).relu_()
        return self.blocks[2](torch.cat([one, two])[:1])


def test_what_a_later_stage_reads_crosses_every_cut_between():
    traced = trace(Skipping(), torch.zeros(1, 16), blocks="blocks.*")
    assert traced.cuts == (Size(16), Size(16), Size(32), Size(16))


def test_weights_outside_of_the_blocks_are_not_prunable():
    module = nn.Sequential(nn.Linear(16, 16), Block(), Block(), nn.Linear(16, 4))
    traced = trace(module, torch.zeros(1, 16))
    assert [row.kind for row in traced.products] == ["dense", *["weight"] * 4, "dense"]
    assert [row.stage for row in traced.products] == [0, 1, 1, 2, 2, 2]
    assert [row.name for row in traced.products[1:3]] == ["up", "down"]
    assert traced.parameters(role="weight") == 4 * 16 * 32
    less = trace(module, torch.zeros(1, 16), without=["3"])
    assert less.macs() == traced.macs() - 64
    assert less.cuts[-1] == Size(16)


def test_a_module_is_left_as_it_was():
    module = nn.Sequential(Block(), nn.Dropout(), Block()).train()
    module[0].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    trace(module, torch.zeros(1, 16))
    assert not module[0].training
    assert module[1].training
    assert all(torch.equal(before[name], x) for name, x in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mkldnn.enabled


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"blocks": "layer.*"}, r"blocks = layer.\* names no module .* are embeddings, "),
        ({"without": ["head"]}, "without = head names no module"),
        ({"rows": {"segments": 1}}, r"rows = \['segments'\] names no table; .*word_embeddings"),
    ],
)
def test_a_name_of_nothing_is_refused_with_the_names_there_are(said, message):
    module, _ = network("bert", **BERT)
    with pytest.raises(ValueError, match=message):
        trace(module, IDS, **said)


def test_a_size_that_does_not_grow_with_the_tokens_is_refused():
    module = With(lambda x, w: torch.cat([x, x[:, :1]], 1) @ w, 32, 8)
    with pytest.raises(ValueError, match=r"is 17 at 16 tokens and 9 at 8: .*; tokens=1 makes"):
        trace(module, X, tokens=16)
    assert trace(module, X).macs() == 17 * 32 * 8


def test_another_path_at_another_length_is_refused():
    module = With(lambda x, w: x @ w if x.shape[1] > 10 else (x @ w).relu(), 32, 8)
    with pytest.raises(ValueError, match="other operations at 16 tokens than at 8"):
        trace(module, X, tokens=16)
    module = With(lambda x, w: x.view(1, 16, 32) @ w, 32, 8)
    with pytest.raises(ValueError, match=r"at 8 instead of 16 tokens: .*; tokens=1 makes a table"):
        trace(module, X, tokens=16)


def test_what_is_no_module_or_no_token_dimension_is_refused():
    with pytest.raises(ValueError, match=r"torch.nn.Module is wanted; this is a str"):
        trace("bert", X)
    with pytest.raises(ValueError, match=r"tokens = 17 is the size of no .* are \(1, 16, 32\)"):
        trace(encoder_layers(), X, tokens=17)


def test_a_network_without_a_product_is_refused():
    with pytest.raises(ValueError, match="no matrix product"):
        trace(nn.ReLU(), X)


class Constant(nn.Module):
    """Multiplies with a buffer, and with a tensor that is an attribute only."""

    def __init__(self):
        super().__init__()
        self.register_buffer("filters", torch.ones(8, 4))
        self.plain = torch.ones(4, 2, device="meta")

    def forward(self, x):
        return x @ self.filters @ self.plain


def test_what_is_multiplied_with_but_not_trained_is_a_dense_tensor():
    traced = trace(Constant(), torch.zeros(3, 8))
    assert [row.kind for row in traced.products] == ["dense", "dense"]
    assert [tensor.elements for tensor in traced.tensors] == [32, 8]
    assert traced.macs() == 3 * 8 * 4 + 3 * 4 * 2


def test_a_table_is_read_at_most_as_a_whole():
    module = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 4))
    traced = trace(module, IDS)
    assert traced.tensors[0].read == Size(80)


def test_the_tables_of_networks_need_no_torch():
    look = (
        "import sys, hw_models.workload as w\nassert callable(w.trace)\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
