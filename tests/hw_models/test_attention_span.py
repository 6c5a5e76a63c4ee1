"""Spans per head against EdgeBERT's ratios and against the full layer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models import Accelerator
from hw_models.attention_span import AttentionSpan
from hw_models.datapath import Datapath, matmul_cycles

S128 = np.array([128.0])
SPANS = st.lists(st.floats(0, 300), min_size=12, max_size=12)


@pytest.mark.parametrize(("off", "ratio"), [(0, 1.0), (6, 1.156), (7, 1.187), (8, 1.220)])
def test_heads_of_span_zero_save_what_the_paper_says(albert, off, ratio):
    span = AttentionSpan((0.0,) * off + (128.0,) * (12 - off))
    full = albert.layer_macs(S128)[0]
    assert full / span.layer_macs(albert, S128)[0] == pytest.approx(ratio, abs=5e-4)
    on = np.array([12.0 - off])
    assert span.layer_macs(albert, S128)[0] == albert.layer_macs(S128, on)[0]


def test_a_finite_span_shortens_scores_and_context_in_proportion(albert):
    half = AttentionSpan((64.0,) * 12).layer_macs(albert, S128)[0]
    assert albert.layer_macs(S128)[0] - half == 12 * 2 * 128 * 64 * 64
    ramped = AttentionSpan((32.0,) * 12, ramp=32.0).layer_macs(albert, S128)[0]
    assert ramped == half


@given(SPANS, st.floats(0, 100))
def test_a_longer_span_never_costs_less(albert, spans, more):
    short, long = (AttentionSpan(tuple(s)) for s in (spans, [s + more for s in spans]))
    a, b = short.layer_macs(albert, S128)[0], long.layer_macs(albert, S128)[0]
    assert a <= b * (1 + 1e-12) <= albert.layer_macs(S128)[0] * (1 + 1e-12)
    cycles = [sum(matmul_cycles(m, 16)[0] for m in s.layer_matmuls(albert, S128))
              for s in (short, long)]  # fmt: skip
    assert cycles[0] <= cycles[1] * (1 + 1e-12)


@given(SPANS, st.lists(st.integers(1, 512), min_size=1, max_size=6))
@settings(deadline=None)
def test_a_batch_of_lengths_equals_its_rows(albert, spans, lengths):
    span = AttentionSpan(tuple(spans))
    batch = span.layer_macs(albert, np.array(lengths, dtype=float))
    assert batch.tolist() == [span.layer_macs(albert, np.array([float(n)]))[0] for n in lengths]


def test_with_every_head_off_the_attention_is_gone(albert):
    names = [m.name for m in AttentionSpan((0.0,) * 12).layer_matmuls(albert, S128)]
    assert names == ["output", "ffn_in", "ffn_out"]


def test_spans_that_do_not_fit_are_refused(albert):
    with pytest.raises(ValueError, match="spans has 3 values; the network has 12 heads"):
        AttentionSpan((1.0, 2.0, 3.0)).layer_macs(albert, S128)
    with pytest.raises(ValueError, match="spans = -1"):
        AttentionSpan((-1.0,))
    with pytest.raises(ValueError, match="must hold one value per head"):
        AttentionSpan(())
    with pytest.raises(ValueError, match="ramp = -1"):
        AttentionSpan((1.0,), ramp=-1.0)


DESIGN = {"pruning_ratio": np.array([0.5]), "weight_bits": np.array([8]),
          "envm_cell": np.array(["rram"]), "vdd": np.array([0.7]),
          "mean_exit_layer": np.array([4.0]), "p95_exit_layer": np.array([8.0])}  # fmt: skip


def test_a_machine_with_full_spans_is_the_machine_without(albert):
    full = AttentionSpan((128.0,) * 12)
    assert Datapath().layer_work(albert, 128, full) == Datapath().layer_work(albert, 128)
    with_span, without = Accelerator(albert, 128, span=full), Accelerator(albert, 128)
    assert with_span(DESIGN) == without(DESIGN)


@given(SPANS, st.floats(0, 100))
@settings(deadline=None)
def test_a_machine_never_gains_from_longer_spans(albert, spans, more):
    short, long = (
        Accelerator(albert, 128, span=AttentionSpan(tuple(s)))(DESIGN)
        for s in (spans, [s + more for s in spans])
    )
    for name in ("energy", "latency_p95"):
        assert short[name][0] <= long[name][0] * (1 + 1e-12)
    assert short["area"][0] == long["area"][0]
