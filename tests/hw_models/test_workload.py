"""Counts of the encoder against closed forms; values for ALBERT-base-v2 at 128 tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models.workload import EncoderShape, mask_bits, stored_bits

S128 = np.array([128.0])


def test_albert_has_the_parameters_of_its_architecture(albert):
    assert albert.encoder_parameters == 7_087_872
    assert albert.vocabulary * albert.embedding == 3_840_000
    assert albert.embedding_parameters == 3_906_048
    assert albert.projection_parameters == 99_072
    assert albert.off_ramp_parameters - 769 * 2 == 590_592


def test_one_albert_layer_takes_931_million_macs(albert):
    macs = albert.layer_macs(S128)
    assert macs[0] == 931_135_488
    assert 12 * macs[0] == pytest.approx(11.17e9, rel=1e-3)


@pytest.mark.parametrize(("off", "ratio"), [(6, 1.156), (7, 1.187), (8, 1.220)])
def test_heads_switched_off_save_what_the_paper_says(albert, off, ratio):
    full = albert.layer_macs(S128)
    left = albert.layer_macs(S128, np.array([12.0 - off]))
    assert full[0] / left[0] == pytest.approx(ratio, abs=5e-4)


def test_minilm_layers_have_weights_of_their_own(minilm):
    assert minilm.encoder_parameters == 6 * (
        4 * (384**2 + 384) + 2 * 384 * 1536 + 1536 + 384 + 768 * 2
    )
    assert minilm.projection_parameters == 0
    assert minilm.off_ramp_parameters == 385 * 2


def test_the_embedding_image_of_edgebert_is_two_megabytes():
    bits = stored_bits(np.array([8.0]), np.array([0.6]))
    assert 3_840_000 * bits[0] / 8 == pytest.approx(2.016e6, rel=1e-12)


@given(st.floats(0, 1), st.floats(1, 16))
def test_storage_is_never_larger_than_dense_nor_than_the_bit_mask(sparsity, bits):
    s, b = np.array([sparsity]), np.array([bits])
    stored = stored_bits(b, s)
    assert stored[0] <= bits
    assert stored[0] <= (1 - sparsity) * bits + 1
    assert mask_bits(b, s)[0] == (stored[0] < bits)


@given(st.lists(st.integers(1, 512), min_size=1, max_size=20))
def test_a_batch_of_lengths_equals_its_rows(albert, lengths):
    batch = albert.layer_macs(np.array(lengths, dtype=float))
    rows = [albert.layer_macs(np.array([float(length)]))[0] for length in lengths]
    assert batch.tolist() == rows
    assert (np.diff(batch[np.argsort(lengths)]) >= 0).all()


def test_a_sequence_longer_than_the_positions_is_refused(albert):
    with pytest.raises(ValueError, match=r"sequence = 513 is above 512, the position embedding"):
        albert.layer_macs(np.array([513.0]))


def test_an_unknown_model_type_names_the_known_ones():
    with pytest.raises(
        ValueError, match=r"'gpt2' is not one of .'albert', 'bert', 'camembert', 'distilbert'"
    ):
        EncoderShape.from_config({"model_type": "gpt2"})


def test_a_configuration_without_a_size_is_refused():
    with pytest.raises(ValueError, match=r"lacks.*hidden_size"):
        EncoderShape.from_config({"model_type": "bert"})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layers", 0, "layers = 0 must be at least 1"),
        ("segments", -1, "segments = -1"),
        ("classes", 1, "classes = 1"),
        ("heads", 5, "heads = 5 must divide hidden = 16"),
        ("groups", 3, "groups = 3 must be within 1 to layers = 2"),
        ("off_ramp", "max", "off_ramp = 'max' is not one of"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(field, value, message):
    sizes = {"layers": 2, "hidden": 16, "heads": 4, "ffn": 32, "embedding": 16, "vocabulary": 10,
             "positions": 8, "segments": 1, "classes": 2, "groups": 2}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        EncoderShape(**(sizes | {field: value}))


def test_distilbert_has_the_parameters_of_its_architecture():
    config = {"model_type": "distilbert", "n_layers": 6, "dim": 768, "n_heads": 12,
              "hidden_dim": 3072, "vocab_size": 30522, "max_position_embeddings": 512}  # fmt: skip
    shape = EncoderShape.from_config(config)
    # 66.4 million parameters (arXiv 1910.01108): 42.5 in the layers, 23.8 in the embeddings.
    assert shape.encoder_parameters == 6 * 7_087_872
    assert shape.encoder_parameters + shape.embedding_parameters == 66_362_880
    assert shape.segments == 0


def test_a_vision_transformer_is_an_encoder_of_patches():
    config = {"model_type": "vit", "num_hidden_layers": 12, "hidden_size": 768,
              "num_attention_heads": 12, "intermediate_size": 3072, "image_size": 224,
              "patch_size": 16}  # fmt: skip
    shape = EncoderShape.from_config(config, classes=1000)
    assert shape.positions == 197
    # ViT-B/16, arXiv 2010.11929: 86 million parameters, 17.5 G multiply-accumulates.
    assert shape.encoder_parameters + shape.embedding_parameters == pytest.approx(86e6, rel=0.01)
    assert 12 * shape.layer_macs(np.array([197.0]))[0] == pytest.approx(17.5e9, rel=0.01)
    with pytest.raises(ValueError, match=r"the vit configuration lacks \['patch_size'\]"):
        EncoderShape.from_config({"model_type": "vit", "image_size": 224})
