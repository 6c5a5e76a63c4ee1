"""The session's real task under the name that these tests use, and a network that costs nothing."""

import shutil

import pytest


@pytest.fixture(scope="session")
def fetched(real_cache):
    """A cache folder with rt-sentiment in it."""
    return real_cache


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Three layers of width 32 that read the packaged network's vocabulary."""
    import torch
    from transformers import BertConfig, BertModel

    from dse.accuracy.networks.pretrained import pretrained

    folder = tmp_path_factory.mktemp("tiny")
    shutil.copytree(pretrained("minilm-l6").folder, folder, dirs_exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            hidden_size=32, num_attention_heads=4, intermediate_size=48, num_hidden_layers=3
        )
        BertModel(config).save_pretrained(folder)
    return f"local:{folder}"
