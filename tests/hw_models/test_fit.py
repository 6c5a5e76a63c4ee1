"""Fits find what made the trials, and say how far they are off."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from hw_models.cloud import CloudNode
from hw_models.edge_device import EdgeDevice
from hw_models.fit import TRIALS, fit_split, read_trials
from hw_models.link import Link
from hw_models.split import SplitComputing


def machine():
    steps = np.arange(5.0)
    cycles, fixed = np.stack([1e9 * steps, 2e8 * steps]), np.stack([0.02 * steps, 0.01 * steps])
    board = EdgeDevice(("off", "std"), cycles, fixed, np.array([3.0, 4.0]),
                       np.array([0.26e-27, 0.2e-27]), 2.7, (0.6e9, 1.8e9))  # fmt: skip
    cloud = CloudNode(np.stack([0.02 * (4 - steps), 0.002 * (4 - steps)]), np.array([600.0, 930.0]))
    return SplitComputing(board, Link(2.5e-3), cloud, 1e5 * (4 - steps))


def trials(noise=0.0, model=None):
    model, rng = model or machine(), np.random.default_rng(0)
    clocks = [0.6e9, 1.0e9, 1.4e9, 1.8e9]
    rows = list(itertools.product(range(5), clocks, ("off", "std"), ("off", "on")))
    split, clock, mode, gpu = (np.array(c) for c in zip(*rows, strict=True))
    columns = {"split_layer": split, "cpu_frequency": clock, "tpu_mode": mode, "cloud_gpu": gpu}
    parts = model.parts(columns | {"bandwidth": np.full(len(split), 592e6)})

    def seen(values):
        return values * (1 + noise * rng.standard_normal(len(values)))

    measured = {
        "latency_edge": seen(parts["latency"]["edge"]),
        "latency_transfer": seen(parts["latency"]["transfer"]),
        "latency_cloud": seen(parts["latency"]["cloud"]),
        "energy_edge": seen(parts["energy"]["edge"] + parts["energy"]["waiting"]),
        "energy_cloud": seen(parts["energy"]["cloud"]),
    }
    return columns | {"size": model.sizes[split]} | measured


def test_exact_trials_give_back_the_model():
    fit, truth = fit_split(trials()), machine()
    assert fit.goodput == pytest.approx(592e6, rel=1e-9)
    assert fit.model.link.fixed == pytest.approx(2.5e-3, rel=1e-9)
    for name in ("cycles", "fixed", "static", "cubic"):
        assert getattr(fit.model.edge, name) == pytest.approx(
            getattr(truth.edge, name), rel=1e-6, abs=1e-40 if name == "cubic" else 1e-6
        )
    assert fit.model.edge.waiting == pytest.approx(2.7, rel=1e-6)
    assert fit.model.cloud.power == pytest.approx([600, 930])
    assert all(residual.largest < 1e-6 for residual in fit.residuals.values())


def test_residuals_tell_how_noisy_the_trials_were():
    fit = fit_split(trials(noise=0.03))
    for residual in fit.residuals.values():
        assert 0.005 < residual.rms < 0.06
        assert residual.rms <= residual.largest
    assert fit.residuals["latency_transfer"].trials == 64
    quiet = fit_split(trials(noise=0.003)).residuals
    assert all(quiet[name].rms < fit.residuals[name].rms for name in quiet)


def test_too_few_trials_are_refused_by_name():
    few = trials()
    one_clock = {name: column[few["cpu_frequency"] == 1e9] for name, column in few.items()}
    with pytest.raises(ValueError, match=r"split_layer = 0 layer .* has one clock"):
        fit_split(one_clock)
    one_size = {n: c[(few["split_layer"] == 4) | (few["split_layer"] == 0)] for n, c in few.items()}
    with pytest.raises(ValueError, match="size has 1 distinct values"):
        fit_split(one_size)
    alone = {name: column[few["split_layer"] == 4] for name, column in few.items()}
    with pytest.raises(ValueError, match="energy_edge: the 16 trials tell only 4 of 5"):
        fit_split(alone)
    with pytest.raises(ValueError, match=r"energy_edge = 0\.0 J must be positive"):
        fit_split(few | {"energy_edge": np.zeros(len(few["size"]))})
    with pytest.raises(ValueError, match=r"columns \['size'\] are missing"):
        fit_split({n: c for n, c in few.items() if n != "size"})


def altered(**columns):
    """Trials of a board whose first mode has other coefficients."""
    model = machine()
    edge = {name: getattr(model.edge, name).copy() for name in columns}
    for name, value in columns.items():
        edge[name][0] = value
    return replace(model, edge=replace(model.edge, **edge))


@pytest.mark.parametrize("noise", [0.0, 0.003])
@pytest.mark.parametrize(
    ("column", "value", "named"),
    [("cubic", -1e-28, r"cubic power with tpu_mode = 'off' = -\S+ W/Hz\^3"),
     ("static", -0.1, r"static power with tpu_mode = 'off' = -\S+ W"),
     ("fixed", -0.05, r"fixed time of split_layer = 0 with tpu_mode = 'off' = -\S+ s"),
     ("cycles", -2e7, r"cycles of split_layer = 0 with tpu_mode = 'off' = -\S+ cycle")],
)  # fmt: skip
def test_coefficients_that_cannot_be_are_refused_by_name(column, value, named, noise):
    # Added to what is large enough to keep every measured time and energy positive.
    kept = {"cubic": {"static": 6.0}, "static": {"cubic": 2e-27}, "fixed": {"cycles": 1e9},
            "cycles": {"fixed": 0.5}}[column]  # fmt: skip
    seen = trials(noise, altered(**{column: value}, **kept))
    with pytest.raises(ValueError, match=named + " is negative"):
        fit_split(seen)


def test_a_coefficient_that_noise_may_have_pushed_below_zero_is_named():
    # The fixed time is nothing; 3 % of noise on the whole time hides it on either side of zero.
    fit = fit_split(trials(0.03, altered(fixed=0.0, cycles=1e9)))
    assert (fit.model.edge.fixed[0] < 0).sum() == len(fit.suspect) > 0
    for text in fit.suspect:
        assert re.fullmatch(r"fixed time of split_layer = \d with tpu_mode = 'off' = -\S+ s", text)
    assert fit_split(trials()).suspect == ()


def test_two_clocks_prove_nothing_but_are_named():
    seen = trials(0.0, altered(fixed=-0.05, cycles=1e9))
    two = np.isin(seen["cpu_frequency"], [0.6e9, 1.8e9]) & (seen["cloud_gpu"] == "on")
    few = {name: column[two] for name, column in seen.items()}
    few["energy_cloud"] = few["energy_cloud"] + 0.0
    fit = fit_split(few)
    assert len(fit.suspect) == 5
    assert "fixed time of split_layer = 3 with tpu_mode = 'off' = -0.05 s" in fit.suspect


def test_a_link_that_takes_less_than_no_time_is_refused():
    seen = trials()
    hurried = np.maximum(seen["latency_transfer"] - 3e-3, 0.0) * (seen["size"] > 0)
    with pytest.raises(ValueError, match=r"fixed = -0\.000\d+ s must not be negative"):
        fit_split(seen | {"latency_transfer": hurried})


HEADER = ("split_layer,cpu_freq_mhz,tpu_mode,gpu,tensor_kb,latency_edge_ms,latency_transfer_ms,"
          "latency_cloud_ms,latency_total_ms,energy_edge_j,energy_cloud_j\n")  # fmt: skip


def test_trials_are_read_in_si(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(HEADER + "3,1800,std,True,98,100,3.9,20,123.9,1.5,18\n")
    columns = read_trials(path)
    assert set(TRIALS) == set(columns)
    assert columns["cpu_frequency"][0] == 1.8e9
    assert columns["size"][0] == 98 * 1024
    assert columns["latency_transfer"][0] == pytest.approx(3.9e-3)
    assert columns["cloud_gpu"][0] == "on"


def test_a_total_that_is_not_its_parts_is_refused(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(HEADER + "3,1800,std,True,98,100,3.9,20,150,1.5,18\n")
    with pytest.raises(ValueError, match=r"latency total 0\.15 is not the sum of its parts"):
        read_trials(path)
    path.write_text("split_layer\n1\n")
    with pytest.raises(ValueError, match=r"columns .*tpu_mode.* are missing"):
        read_trials(path)
