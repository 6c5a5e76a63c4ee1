import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dse.accuracy.compression.adaptivfloat import Format, decoded, encoded, quantised, top_exponent
from dse.accuracy.compression.cell_errors import Cells
from dse.accuracy.compression.fault_injection import faulty

FORMS = st.builds(lambda e, m: Format(1 + e + m, e), st.integers(1, 4), st.integers(0, 6))
SEEDS = st.integers(0, 2**32 - 1)


def some_values(seed, form):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=200) * 2.0 ** rng.integers(-20, 20)
    values[rng.random(200) < 0.2] = 0.0
    return quantised(torch.tensor(values), form)


def cells(bits, down, up):
    widths = range(1, bits + 1)
    return Cells(
        bits,
        {b: tuple([0.0] + [down] * (2**b - 1)) for b in widths},
        {b: tuple([up] * (2**b - 1) + [0.0]) for b in widths},
    )


@given(SEEDS, FORMS)
def test_a_code_word_says_its_value(seed, form):
    values = some_values(seed, form)
    top = top_exponent(values)
    if top is None:
        return
    codes = encoded(values, form, top)
    assert torch.equal(decoded(codes, form, top), values)
    assert ((codes >= 0) & (codes < 2**form.bits)).all()


def written_out(code, form, top):
    """A word read bit by bit: sign, exponent, mantissa."""
    bits = format(code, f"0{form.bits}b")
    e, m = form.exponent_bits, form.mantissa_bits
    exponent, mantissa = int(bits[1 : 1 + e], 2), int(bits[1 + e :] or "0", 2)
    if exponent == 0 and mantissa == 0:
        return 0.0
    value = 2.0 ** (top - (2**e - 1) + exponent) * (1 + mantissa / 2**m)
    return -value if bits[0] == "1" else value


@pytest.mark.parametrize("form", [Format(8, 3), Format(6, 2), Format(4, 3), Format(5, 1)])
def test_every_word_means_what_its_bits_say(form):
    codes = torch.arange(2**form.bits, dtype=torch.int32)
    expected = [written_out(code, form, -3) for code in range(2**form.bits)]
    assert decoded(codes, form, -3).tolist() == expected


def test_an_eight_bit_word_in_three_bit_cells_is_cut_three_three_two():
    """Misreading always upwards adds one to each cell that is not at its top level."""
    form = Format(8, 3)
    always = cells(3, 0.0, 1.0)
    value = decoded(torch.tensor([0b01001001], dtype=torch.int32), form, 0)
    big = decoded(torch.tensor([0b01110000], dtype=torch.int32), form, 0)  # keeps the exponent
    read, misread = faulty(torch.cat([value, big]), form, always, torch.Generator())
    code = encoded(read[:1], form, 0)
    assert int(code[0]) == 0b01101110
    assert misread > 0


def test_a_perfect_memory_reads_what_was_written():
    form = Format(8, 3)
    values = some_values(1, form)
    read, misread = faulty(values, form, cells(2, 0.0, 0.0), torch.Generator())
    assert torch.equal(read, values)
    assert misread == 0


def test_zeros_of_a_pruned_tensor_are_not_stored_and_never_misread():
    form = Format(8, 3)
    values = some_values(2, form)
    read, misread = faulty(values, form, cells(2, 0.5, 0.5), torch.Generator().manual_seed(0))
    assert misread > 0
    assert (read[values == 0] == 0).all()


@pytest.mark.parametrize(("bits", "per_word"), [(1, 8), (2, 4), (3, 3), (4, 2)])
def test_as_many_cells_are_misread_as_the_rate_says(bits, per_word):
    form = Format(8, 3)
    values = quantised(torch.randn(40_000, generator=torch.Generator().manual_seed(3)), form)
    stored = int((values != 0).sum())
    rate = 0.01
    flat = Cells(
        bits,
        {b: tuple([0.0] + [rate] * (2**b - 1)) for b in range(1, bits + 1)},
        {b: tuple([rate] + [0.0] * (2**b - 1)) for b in range(1, bits + 1)},
    )
    _, misread = faulty(values, form, flat, torch.Generator().manual_seed(4))
    expected = stored * per_word * rate
    assert abs(misread - expected) < 5 * np.sqrt(expected)


def test_the_same_draw_gives_the_same_faults_and_another_one_others():
    form = Format(8, 3)
    values = some_values(5, form)
    read = [
        faulty(values, form, cells(3, 0.1, 0.1), torch.Generator().manual_seed(s))[0]
        for s in (1, 1, 2)
    ]
    assert torch.equal(read[0], read[1])
    assert not torch.equal(read[0], read[2])
