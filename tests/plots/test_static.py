"""The printed twin: the same view, as pixels."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from PIL import Image

from dse.core.failure import Failure
from dse.core.problem import Constraint, Objective, judge
from dse.plots.front_view import CLASSES, FrontView
from dse.plots.looks import LOOKS
from dse.plots.static import DPI, front_print, write_png

ENERGY = Objective("energy", "J")
ACCURACY = Objective("accuracy", "1", "max")


def pixels(figure, folder):
    folder.mkdir(exist_ok=True)
    write_png(figure, folder / "front.png")
    with Image.open(folder / "front.png") as image:
        assert image.info["dpi"][0] == pytest.approx(DPI, rel=0.01)
        return np.asarray(image.convert("RGB")).astype(int)


def has_colour(picture, colour):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(picture - wanted).max(axis=2) < 40).sum()


def words(figure):
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


def test_the_picture_shows_every_class_that_has_a_place(draw, folder):
    picture = pixels(front_print(draw(ACCURACY, ENERGY)), folder)
    for name in ("front", "dominated", "infeasible"):
        assert has_colour(picture, LOOKS[name].colour) > 20, name
    assert picture.shape[1] > 900


def test_axes_titles_and_notes_are_those_of_the_view(view):
    figure = front_print(view)
    said = words(figure)
    for panel in view.panels:
        assert panel.x.heading in said
        assert f"front: {panel.colour.title}, darker is better" in said
    assert "accuracy, higher is better" in said
    assert "latency p95 ≤ 4 ms" in said
    assert view.title in said
    for name in CLASSES:
        assert view.legend(name) in said


def test_every_trial_on_the_front_is_drawn_in_every_panel(view):
    found = front_print(view).findobj(PathCollection)
    counts = [len(np.asarray(c.get_offsets())) for c in found if isinstance(c, PathCollection)]
    assert [count for count in counts if count > 1] == [len(view.drawn["front"])] * 2


def test_every_shape_of_run_can_be_drawn(any_view, folder):
    picture = pixels(front_print(any_view), folder)
    assert 0.0 < (picture < 128).mean() < 0.5


def test_nothing_is_written_outside_the_picture(any_view):
    figure = front_print(any_view)
    figure.canvas.draw()
    written = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(written.x0, written.y0) >= 0
    assert written.x1 <= width
    assert written.y1 <= height


def test_a_limit_on_the_first_objective_is_a_line_across(draw):
    view = draw(ACCURACY, ENERGY, limits=(Constraint("accuracy", "1", 0.7, "min"),))
    assert "accuracy ≥ 0.7" in words(front_print(view))


def test_equal_runs_are_equal_pictures(view, folder):
    first, second = (pixels(front_print(view), folder) for _ in range(2))
    assert np.array_equal(first, second)


def test_dollar_signs_are_no_mathematics(stored_run, folder):
    trials = stored_run.trials
    reasons = (Failure("raised", r"price $\frac{1}$ and $x$"), *trials.failures[1:])
    question = stored_run.question
    judged = judge(
        question.objectives,
        question.constraints,
        trials.codes,
        trials.designs,
        trials.metrics,
        reasons,
    )
    assert pixels(front_print(FrontView.of(question, judged)), folder).any()


def test_wide_values_get_logarithmic_axes_and_colours(view, folder):
    trials, question = view.trials, view.question
    metrics = dict(trials.metrics) | {
        "energy": trials.metrics["energy"] ** 3 * 1e8,
        "accuracy": trials.metrics["accuracy"] ** 20,
    }
    wide = judge(
        question.objectives,
        question.constraints,
        trials.codes,
        trials.designs,
        metrics,
        trials.failures,
    )
    figure = front_print(FrontView.of(question, wide))
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_yscale() == "log"
    assert pixels(figure, folder).any()


def test_a_picture_that_cannot_be_written_leaves_the_old_one(view, folder, monkeypatch):
    figure = front_print(view)
    before = pixels(figure, folder)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_png(figure, folder / "front.png")
    assert [path.name for path in folder.iterdir()] == ["front.png"]
    with Image.open(folder / "front.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), before)
