"""Shapes that several test files share."""

import pytest

from hw_models import EncoderShape


@pytest.fixture(scope="session")
def albert() -> EncoderShape:
    """ALBERT-base-v2, the network of EdgeBERT (arXiv 2011.14203)."""
    config = {
        "model_type": "albert",
        "num_hidden_layers": 12,
        "num_hidden_groups": 1,
        "hidden_size": 768,
        "embedding_size": 128,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": 30000,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
    }
    return EncoderShape.from_config(config)


@pytest.fixture(scope="session")
def minilm() -> EncoderShape:
    """MiniLM-L6-H384 as a BERT configuration, with off-ramps on the mean token."""
    config = {
        "model_type": "bert",
        "num_hidden_layers": 6,
        "hidden_size": 384,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
    }
    return EncoderShape.from_config(config, off_ramp="mean_pool")
