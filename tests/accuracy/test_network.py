import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel

from dse.accuracy.compression import pipeline as compression
from dse.accuracy.compression.adaptivfloat import Format, quantised
from dse.accuracy.compression.attention_span import reaching
from dse.accuracy.compression.pipeline import Compression, compressed
from dse.accuracy.compression.pruning import in_layers
from dse.accuracy.networks.network import Tokens, all_means, batches_by_length, layer_means, padded
from dse.accuracy.networks.training import Trained, encoder_tensors
from dse.core.errors import DseError
from dse.core.files import sha256_of

SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
}


@pytest.fixture(params=["bert", "albert"])
def encoder(request):
    """Three layers; ALBERT's share one set of weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if request.param == "bert":
            return BertModel(BertConfig.from_dict(SMALL)).eval()
        return AlbertModel(AlbertConfig.from_dict({**SMALL, "embedding_size": 16})).eval()


@pytest.fixture
def tokens():
    rng = np.random.default_rng(1)
    return [Tokens(rng.integers(1, 50, size=rng.integers(2, 20)).tolist(), []) for _ in range(30)]


def test_batches_hold_each_sentence_once_and_like_lengths_together(tokens):
    batches = batches_by_length(tokens, 8)
    assert sorted(np.concatenate(batches)) == list(range(30))
    lengths = [len(tokens[i].ids) for i in np.concatenate(batches)]
    assert lengths == sorted(lengths)


def test_the_mean_state_of_a_sentence_ignores_padding_and_batch(encoder, tokens):
    batch = all_means(encoder, tokens)
    assert batch.shape == (30, 3, 32)
    with torch.inference_mode():
        for i in (0, 7, 29):
            alone = layer_means(encoder, padded([tokens[i]]))[0]
            torch.testing.assert_close(batch[i], alone, rtol=1e-4, atol=1e-5)


@pytest.fixture
def trained(encoder, tmp_path):
    """The encoder with off-ramps, as training would leave it."""
    encoder.config.save_pretrained(tmp_path)
    ramps = {"off_ramps.weight": torch.randn(3, 2, 32), "off_ramps.bias": torch.zeros(3, 2)}
    path = tmp_path / "network.safetensors"
    save_file({**encoder_tensors(encoder), **ramps}, path)
    return Trained(path, sha256_of(path), tmp_path)


def matrices(network):
    named = network.encoder.named_parameters()
    return {n: p for n, p in named if p.dim() == 2 and in_layers(n)}


def test_each_matrix_of_the_layers_is_pruned_and_nothing_else(trained, encoder):
    before = dict(encoder.named_parameters())
    small = compressed(trained, Compression(pruning_ratio=0.5, weight_bits=32), [])
    for name, p in small.network.encoder.named_parameters():
        if name in matrices(small.network):
            assert (p == 0).sum() == round(0.5 * p.numel())
        else:
            assert torch.equal(p, before[name])


def test_the_embeddings_are_pruned_on_their_own(trained, encoder):
    before = dict(encoder.named_parameters())
    small = compressed(trained, Compression(embedding_sparsity=0.25, weight_bits=32), [])
    for name, p in small.network.encoder.named_parameters():
        if "embeddings" in name.split(".") and p.dim() == 2:
            assert (p == 0).sum() >= round(0.25 * p.numel())
        else:
            assert torch.equal(p, before[name])


def test_each_matrix_takes_the_values_of_its_own_format(trained):
    how = Compression(pruning_ratio=0.3, weight_bits=6)
    small = compressed(trained, how, [])
    for p in matrices(small.network).values():
        assert torch.equal(p, quantised(p, Format(6, 3)))
        assert len(p.abs().unique()) <= 2**5


def test_a_span_over_everything_changes_nothing(trained, tokens):
    whole = compressed(trained, Compression(weight_bits=32), [])
    spanned = compressed(trained, Compression(weight_bits=32, attention_span=100), [])
    with whole.running() as encoder:
        expected = all_means(encoder, tokens)
    with spanned.running() as encoder:
        torch.testing.assert_close(all_means(encoder, tokens), expected, rtol=1e-4, atol=1e-5)


def test_a_span_of_one_sees_no_other_token(trained):
    spanned = compressed(trained, Compression(weight_bits=32, attention_span=1), [])
    short, long = Tokens([3, 9, 4], []), Tokens([3, 9, 4, 20, 21], [])
    with spanned.running() as encoder, torch.inference_mode():
        states = [
            encoder(**padded([t]), output_hidden_states=True).hidden_states[-1][0, :3]
            for t in (short, long)
        ]
    torch.testing.assert_close(states[0], states[1], rtol=1e-4, atol=1e-5)


def test_each_layer_has_its_own_reach_also_where_layers_share_their_weights(encoder, tokens):
    """Switching off the heads of one layer changes the states from that layer on, not before."""
    for off in range(3):
        reach = torch.full((3, 4), 100.0)
        reach[off] = 0.0
        plain = all_means(encoder, tokens)
        with reaching(encoder, reach, 1.0):
            spanned = all_means(encoder, tokens)
        assert torch.allclose(spanned[:, :off], plain[:, :off], atol=1e-5)
        assert not torch.allclose(spanned[:, off], plain[:, off], atol=1e-3)


def test_activations_take_few_values_and_the_hooks_go_away(trained, tokens):
    run = compressed(trained, Compression(weight_bits=32, activation_bits=4), tokens[:8])
    seen = []
    layer = next(m for n, m in run.network.encoder.named_modules() if n.endswith("query"))
    plain = compressed(trained, Compression(weight_bits=32), [])
    with plain.running() as encoder:
        exact = all_means(encoder, tokens)
    with run.running() as encoder:
        watcher = layer.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
        coarse = all_means(encoder, tokens)
        watcher.remove()
    assert all(len(x.abs().unique()) <= 8 for x in seen)
    assert not torch.allclose(coarse, exact, atol=1e-4)
    assert torch.equal(all_means(run.network.encoder, tokens), exact)


def test_activations_are_gauged_once_whatever_their_width_and_link(trained, tokens, monkeypatch):
    passes = []

    def counted(*arguments):
        passes.append(1)
        return layer_means(*arguments)

    monkeypatch.setattr(compression, "layer_means", counted)
    gauge = tokens[:7]
    runs = [
        compressed(trained, Compression(weight_bits=6, activation_bits=bits), gauge)
        for bits in (8, 4)
    ]
    assert runs[0].activations == runs[1].activations
    assert len(passes) == 1
    compressed(trained, Compression(weight_bits=5, activation_bits=8), gauge)
    compressed(trained, Compression(weight_bits=5, activation_bits=8), tokens[:6])
    assert len(passes) == 3


def test_what_several_layers_read_is_rounded_once_and_to_the_same_bits(
    trained, tokens, monkeypatch
):
    run = compressed(trained, Compression(weight_bits=32, activation_bits=5), tokens[:8])
    rounds = []

    def noted(*arguments):
        rounds.append(arguments[0].shape)
        return quantised(*arguments)

    monkeypatch.setattr(compression, "quantised", noted)
    with run.running() as encoder:
        together = all_means(encoder, tokens)
    entered = []

    form, tops = run.form, run.activations
    assert form is not None
    assert tops is not None

    def round_anew(inputs, top):
        entered.append(top)
        return quantised(inputs[0], form, top)

    each = [
        module.register_forward_pre_hook(lambda _m, inputs, top=tops[name]: round_anew(inputs, top))
        for name, module in run.network.encoder.named_modules()
        if name in tops
    ]
    assert torch.equal(all_means(run.network.encoder, tokens), together)
    assert len(rounds) == len(entered) - 2 * 3  # of query, key and value, in three layers
    for hook in each:
        hook.remove()


def test_a_pair_is_read_as_two_kinds_of_tokens():
    batch = padded([Tokens([1, 2, 3], [0, 0, 1]), Tokens([1, 2], [0, 1])])
    assert batch["token_type_ids"].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"pruning_ratio": 1.0},
        {"embedding_sparsity": -0.1},
        {"weight_bits": 3},
        {"activation_bits": 17},
        {"attention_span": -1.0},
        {"pruning_method": "luck"},
        {"pruning_method": "movement", "pruning_ratio": 0.5},
        {"span_penalty": 0.1},
    ],
)
def test_a_compression_that_cannot_be_is_refused(wrong):
    with pytest.raises(DseError, match=next(iter(wrong)) + "|bits|finetune_steps"):
        Compression(**wrong)
