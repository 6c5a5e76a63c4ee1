"""The figure shows the figures: bars as long as the shares, one line per policy, notes beside."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from dse.plots.simulation import BINS, PolicyPoints, SimulationView, simulation_figure
from dse.plots.static import write_png


@pytest.fixture
def view():
    rng = np.random.default_rng(0)
    deadline = rng.uniform(0.1, 5.0, 2000)
    policies = [
        PolicyPoints("cloud", np.full(2000, 80.0), 0.02, 0.005, 0.0),
        PolicyPoints("dynasplit", 80.0 / (1 + deadline), 0.3, 1.2, 0.45),
        PolicyPoints("costly", np.full(2000, 100.0), 0.0, 0.0, -0.25),
    ]
    return SimulationView("a $tudy", "facts", deadline, 0.01, "cloud", policies)


def widths(axes):
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_bars_are_as_long_as_the_shares(view):
    _, late, saved = simulation_figure(view).axes
    assert widths(late) == pytest.approx([2.0, 30.0, 0.0])
    assert widths(saved) == pytest.approx([0.0, 45.0, -25.0])
    assert [t.get_text() for t in late.get_yticklabels()] == ["cloud", "dynasplit", "costly"]
    notes = [text.get_text() for text in late.texts]
    assert notes[:3] == ["2.0 %, by 5 ms", "30.0 %, by 1.2 s", "none"]
    assert "met by no row" in notes
    low, high = saved.get_xlim()
    assert low < -25
    assert high > 45


def test_lines_are_means_over_neighbouring_deadlines(view):
    curves = simulation_figure(view).axes[0]
    assert [line.get_label() for line in curves.lines] == ["cloud", "dynasplit", "costly"]
    assert all(len(np.asarray(line.get_xdata())) == BINS for line in curves.lines)
    cheap = np.asarray(curves.lines[1].get_ydata())
    assert (np.diff(cheap) < 0).all()
    assert np.mean(cheap) == pytest.approx(view.policies[1].energy.mean(), rel=0.01)
    assert curves.get_xlabel() == "deadline [s]"


def test_dollars_are_no_mathematics(view, tmp_path):
    write_png(simulation_figure(view), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
