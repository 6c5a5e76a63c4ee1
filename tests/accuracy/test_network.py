import numpy as np
import pytest
import torch
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel

from dse.accuracy.adaptivfloat import Format
from dse.accuracy.measured import compressed
from dse.accuracy.network import Network, all_means, batches_by_length, layer_means, padded

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
            return BertModel(BertConfig(**SMALL)).eval()
        return AlbertModel(AlbertConfig(**SMALL, embedding_size=16)).eval()


@pytest.fixture
def tokens():
    rng = np.random.default_rng(1)
    return [rng.integers(1, 50, size=rng.integers(2, 20)).tolist() for _ in range(30)]


def test_batches_hold_each_sentence_once_and_like_lengths_together(tokens):
    batches = batches_by_length(tokens, 8)
    assert sorted(np.concatenate(batches)) == list(range(30))
    lengths = [len(tokens[i]) for i in np.concatenate(batches)]
    assert lengths == sorted(lengths)


def test_the_mean_state_of_a_sentence_ignores_padding_and_batch(encoder, tokens):
    batch = all_means(encoder, tokens)
    assert batch.shape == (30, 3, 32)
    with torch.inference_mode():
        for i in (0, 7, 29):
            alone = layer_means(encoder, *padded([tokens[i]]))[0]
            torch.testing.assert_close(batch[i], alone, rtol=1e-4, atol=1e-5)


def test_compression_touches_a_copy_and_prunes_each_encoder_matrix(encoder):
    network = Network(encoder, torch.randn(3, 2, 32), torch.zeros(3, 2))
    before = {name: p.clone() for name, p in encoder.named_parameters()}
    small = compressed(network, 0.5, Format(8, 3))
    for name, p in encoder.named_parameters():
        assert torch.equal(p, before[name])
    for name, p in small.encoder.named_parameters():
        if p.dim() == 2 and "embeddings" not in name.split("."):
            assert (p == 0).float().mean() >= 0.5
        if p.dim() == 1:
            assert torch.equal(p, before[name])
