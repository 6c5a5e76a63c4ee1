"""What a run opens with (corners, a warm start) and what ends it (trials, wall time, a plateau)."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import dse.study.runner
from dse.cli.app import command_line
from dse.core.errors import DseError
from dse.core.failure import Failure
from dse.core.parameters import Categorical, Ordinal
from dse.core.problem import Objective, judge
from dse.core.signature import Signature
from dse.core.space import ActiveWhen, Forbidden, SearchSpace
from dse.pareto.hypervolume import Reference, hypervolume
from dse.runs.status import run_status
from dse.runs.store import read_run
from dse.search.initial_designs import boundary_designs
from dse.search.interrupts import Clock, Stop
from dse.search.termination import Plateau
from dse.study.designs_io import read_designs
from dse.study.loader import load_study
from dse.study.runner import resume, run_study
from dse.study.system import Composed, Section, System

WIDTHS = tuple(k / 10 for k in range(1, 41))


@dataclass(frozen=True)
class Machine:
    """Time against energy; counts what it is asked."""

    asked: list[int]
    signature: ClassVar[Signature] = Signature.uniform(
        {"width": "V", "kind": "choice", "depth": "1"}, {"energy": "J", "time": "s"}, "closed form"
    )

    def __call__(self, columns):
        self.asked.append(len(columns["width"]))
        worse = np.where(columns["kind"] == "new", 1.0, 1.2)
        width, depth = columns["width"], columns["depth"]
        return {"energy": worse * width**2 * depth, "time": worse / width + 0.01 * depth}


class Settings(Section):
    """One that the machine does not look at."""

    tone: int = 0


def space(_settings, parameters):
    rule = Forbidden({"kind": ("old",), "depth": (30.0,)}, "too deep for it")
    return SearchSpace(parameters, forbidden=(rule,))


def corners(_settings, _space):
    return {
        "fast": {"width": 4.0, "kind": "new", "depth": 1.0},
        "not there": {"width": 4.0, "kind": "old", "depth": 30.0},
        "frugal": {"width": 0.1, "kind": "new", "depth": 1.0},
    }


def toy(asked):
    """Two corners, one of which does not exist; what is asked of the machine is counted."""
    return System(
        name="toy",
        knobs=(
            Ordinal("width", WIDTHS, "V"),
            Categorical("kind", ("old", "new")),
            Ordinal("depth", tuple(map(float, range(1, 31))), "1"),
        ),
        metrics=Machine.signature.outputs,
        compose=lambda *_: Composed(Machine(asked), {"data": "none"}, lambda: (0, 0)),
        settings=Settings,
        space=space,
        corners=corners,
    )


STUDY = """\
study: toy
question: Which of 2,360 designs is best?
system: toy
knobs:
  width: {start: 100, stop: 4000, step: 100, unit: mV}
  kind: {values: [old, new]}
  depth: {start: 1, stop: 30, step: 1, unit: 1}
objectives: {energy: min, time: min}
search: {searcher: nsga2, trials: 60, batch: 10, seed: 1}
execution: {executor: serial}
export: {sort_by: energy, fallback: time}
"""


class Quiet:
    """Keeps the notes."""

    def __init__(self):
        self.notes = []

    def preparing(self, what, share):
        pass

    def searching(self, progress):
        pass

    def noting(self, what):
        self.notes.append(what)


@pytest.fixture
def study(tmp_path):
    def load(*overrides):
        (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
        return load_study(tmp_path / "study.yaml", {"toy": toy([])}, overrides)

    return load


def asked_of(study):
    """What has been asked of the machine of a study, batch by batch."""
    return study.system.compose(study.settings, None, None).evaluator.asked


def run_of(study, folder, listener=None):
    run_study(study, folder, listener or Quiet(), Stop())
    return read_run(folder)


def resumed(study, folder, trials=None, stopping=None):
    loaded = []

    def load(count):
        again = study(f"search.trials={count}")
        loaded.append(again)
        return again

    resume(folder, load, trials, Quiet(), Stop(), stopping)
    return read_run(folder), asked_of(loaded[0])


def designs(trials):
    return list(zip(*(trials.designs[n].tolist() for n in ("width", "kind", "depth")), strict=True))


# -- corners --------------------------------------------------------------------------------


def test_corners_that_exist_are_the_first_trials_and_the_searcher_learns_of_them(study, tmp_path):
    run = run_of(study("search.boundary=false"), tmp_path / "run")
    assert designs(run.trials)[:2] == [(4.0, "new", 1.0), (0.1, "new", 1.0)]
    assert run.manifest["opening"]["corners"] == ["fast", "frugal"]
    assert "boundary" not in run.manifest["opening"]
    off = ("search.corners=false", "search.boundary=false")
    without = run_of(study(*off), tmp_path / "without")
    assert "opening" not in without.manifest
    assert without.identity != run.identity
    first, other = designs(run.trials)[2:12], designs(without.trials)[:10]
    assert not set(first) & set(designs(run.trials)[:2])
    assert len(set(first) & set(other)) >= 8  # one seed; only what is known already is left out


def test_the_ends_of_the_space_follow_the_corners_and_are_part_of_the_identity(study, tmp_path):
    both = run_of(study(), tmp_path / "both")
    opening = both.manifest["opening"]
    assert opening["boundary"] == 2
    corners = [(4.0, "new", 1.0), (0.1, "new", 1.0)]
    assert designs(both.trials)[:2] == corners
    ends = [d for d in designs(both.trials)[2 : len(opening["codes"])] if d not in corners]
    alone = run_of(study("search.corners=false"), tmp_path / "alone")
    assert "corners" not in alone.manifest["opening"]
    assert designs(alone.trials)[: len(ends)] == ends
    np.testing.assert_array_equal(
        alone.manifest["opening"]["codes"], boundary_designs(study().space)
    )
    off = run_of(study("search.boundary=false"), tmp_path / "off")
    assert len({both.identity, alone.identity, off.identity}) == 3
    assert "boundary" not in both.manifest["identified_by"]["study"]["search"]


@pytest.mark.parametrize("stop", [1, 3, 20])
def test_a_run_goes_on_with_the_ends_that_it_was_begun_with(stop, study, tmp_path, monkeypatch):
    whole = run_of(study(), tmp_path / "whole")
    run_of(study(f"search.trials={stop}"), tmp_path / "cut")
    monkeypatch.setattr("dse.study.warm_start.boundary_designs", lambda _: 1 / 0)
    run, _ = resumed(study, tmp_path / "cut", "60")
    assert designs(run.trials) == designs(whole.trials)
    assert run.identity == whole.identity


def test_the_budget_may_be_smaller_than_the_opening(study, tmp_path):
    run = run_of(study("search.trials=1"), tmp_path / "run")
    assert len(run.trials) == 1
    grown, _ = resumed(study, tmp_path / "run", "60")
    whole = run_of(study(), tmp_path / "whole")
    assert designs(grown.trials) == designs(whole.trials)


# -- warm start -----------------------------------------------------------------------------


def test_a_run_of_the_same_evaluators_lends_its_metrics(study, tmp_path):
    earlier = run_of(study(), tmp_path / "earlier")
    again = study(f"search.warm_start.path={tmp_path / 'earlier'}", "search.warm_start.take=all")
    watch = Quiet()
    run = run_of(again, tmp_path / "run", watch)
    assert designs(run.trials)[:2] == designs(earlier.trials)[:2]
    assert set(designs(run.trials)) == set(designs(earlier.trials))  # both have 60
    assert asked_of(again) == []
    np.testing.assert_array_equal(run.trials.losses, earlier.trials.losses)
    assert watch.notes == [
        f"warm start from {tmp_path / 'earlier'}: 60 designs, not evaluated again"
    ]
    assert run.manifest["opening"]["warm_start"]["reused"] is True


def test_under_other_settings_a_front_is_evaluated_anew_within_the_narrower_space(study, tmp_path):
    earlier = run_of(study(), tmp_path / "earlier")
    path = f"search.warm_start.path={tmp_path / 'earlier'}"
    off = ("search.corners=false", "search.boundary=false")
    other = study(path, "settings.tone=1", "knobs.width.start=1000", *off)
    watch = Quiet()
    run = run_of(other, tmp_path / "run", watch)
    record = run.manifest["opening"]["warm_start"]
    front = json.loads((tmp_path / "earlier" / "front.json").read_text())["rows"]
    inside = [row["design"] for row in front if row["design"]["width"] >= 1.0]
    assert (record["designs"], record["outside"]) == (len(inside), len(front) - len(inside))
    assert record["reused"] is False
    assert 0 < len(inside) < len(front)
    assert record["run"] == earlier.identity
    assert {(d["width"], d["kind"], d["depth"]) for d in inside} == set(
        designs(run.trials)[: len(inside)]
    )
    assert sum(asked_of(other)) == 60


@pytest.mark.parametrize("stop", [1, 7, 20, 41])
def test_a_warm_run_goes_on_where_it_was_though_its_source_is_gone(stop, study, tmp_path):
    source = tmp_path / "designs.csv"
    source.write_text(
        "width [mV],kind,depth\n" + "".join(f"{100 * k},new,{k}\n" for k in range(1, 25))
    )
    path = f"search.warm_start.path={source}"
    whole = run_of(study(path), tmp_path / "whole")
    run_of(study(path, f"search.trials={stop}"), tmp_path / "cut")
    source.unlink()
    run, asked = resumed(study, tmp_path / "cut", "60")
    assert run.trials.codes.tobytes() == whole.trials.codes.tobytes()
    assert run.trials.losses.tobytes() == whole.trials.losses.tobytes()
    assert sum(asked) == 60 - stop
    assert run.identity == whole.identity


TABLE = [(0.5, "new", 3.0), (0.7, "old", 4.0), (0.75, "new", 3.0), (0.5, "old", 30.0)]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "nested.jsonl"])
def test_a_table_of_designs_is_read_and_what_lies_outside_is_counted(ending, study, tmp_path):
    path = tmp_path / f"designs.{ending}"
    if ending == "csv":
        rows = "".join(f"{round(1000 * w)},{k},{d},9.9\n" for w, k, d in TABLE)
        path.write_text("width [mV],kind,depth [1],energy [J]\n" + rows + "\n")
    elif ending == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        names = ("width", "kind", "depth")
        columns = dict(zip(names, map(list, zip(*TABLE, strict=True)), strict=True))
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    else:
        lines = [{"width": w, "kind": k, "depth": d} for w, k, d in TABLE]
        wrapped = [{"design": line, "note": 1} if "nested" in ending else line for line in lines]
        path.write_text("\n".join(map(json.dumps, wrapped)))
    watch = Quiet()
    off = ("search.corners=false", "search.boundary=false")
    run = run_of(study(f"search.warm_start.path={path}", *off), tmp_path / "r", watch)
    assert designs(run.trials)[:2] == TABLE[:2]
    assert watch.notes == [
        f"warm start from {path}: 2 designs, evaluated anew; 2 of 4 do not lie in this study's "
        "space and are left out"
    ]


SPACE = SearchSpace(
    (Ordinal("width", (0.5, 1.0), "V"), Ordinal("depth", (3.0,), "1")),
    (ActiveWhen("depth", "width", (0.5,), 3.0),),
)


def test_a_knob_of_one_value_may_be_missing_and_one_of_several_may_not(tmp_path):
    path = tmp_path / "designs.csv"
    path.write_text("width\n0.5\n\n1.0\n")
    assert read_designs(path, SPACE) == {"width": [0.5, 1.0], "depth": [3.0, 3.0]}
    path.write_text("depth\n3\n")
    with pytest.raises(DseError, match=r"no column for width.*it has depth"):
        read_designs(path, SPACE)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "width [mA]\n5\n", "'mA' does not measure"),
        ("a.csv", "width\nwide\n", "row 1 holds 'wide', no number"),
        ("a.csv", "width,depth\n1\n", "line 2 has another number of cells"),
        ("a.csv", "", "no column for width"),
        ("a.jsonl", "{\n", "does not read"),
        ("a.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("a.parquet", "nonsense", "does not read"),
        ("a.txt", "width\n1\n", "neither a run folder nor a table"),
    ],
)
def test_a_table_that_is_none_says_what_is_wrong(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DseError, match=said):
        read_designs(tmp_path / name, SPACE)


def test_a_warm_start_that_does_not_read_leaves_no_run(study, tmp_path):
    with pytest.raises(DseError, match=r"gone\.csv"):
        run_of(study(f"search.warm_start.path={tmp_path / 'gone.csv'}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -- plateau --------------------------------------------------------------------------------


def batch(points):
    losses = np.array(points, dtype=float).reshape(-1, 2)
    columns = {"x": losses[:, 0], "y": losses[:, 1]}
    objectives = (Objective("x", "1"), Objective("y", "1"))
    return judge(objectives, (), losses, {}, columns, (None,) * len(losses))


points = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=4)


@settings(deadline=None)
@given(st.lists(points, min_size=1, max_size=12), st.integers(1, 12), st.sampled_from([0.01, 0.3]))
def test_a_plateau_is_what_its_definition_says(batches, trials, gain):
    """Against the definition, computed from all trials every time."""
    rule = Plateau(gain, trials)
    counts = np.cumsum([len(b) for b in batches])
    rows = np.array([p for b in batches for p in b], dtype=float)
    for count, points_ in zip(counts, batches, strict=True):
        said = rule(batch(points_))
        old = [c for c in counts if c <= count - trials]
        if not old:
            assert said == ""
            continue
        frame = Reference.of(rows[:count])
        grown = 1 - hypervolume(rows[: max(old)], frame) / hypervolume(rows[:count], frame)
        assert bool(said) == (grown < gain)


def test_nothing_feasible_is_no_plateau_and_the_first_feasible_is_growth():
    rule = Plateau(0.01, 2)
    nothing = judge(
        (Objective("x", "1"),),
        (),
        np.zeros((3, 1)),
        {},
        {"x": np.zeros(3)},
        (Failure("raised", "failed"),) * 3,
    )
    assert [rule(nothing) for _ in range(4)] == [""] * 4
    some = judge((Objective("x", "1"),), (), np.zeros((3, 1)), {}, {"x": np.ones(3)}, (None,) * 3)
    assert rule(some) == ""
    assert "grew by 0.00% over the last 3 trials" in rule(some)


@pytest.mark.parametrize(("gain", "ends"), [(0.54, False), (0.55, True)])
def test_the_gain_is_the_share_of_the_present_hypervolume_that_is_new(gain, ends):
    # In the box of 1.1 by 1.1 the corners hold 0.21, and the middle 0.25 that they do not.
    rule = Plateau(gain, 1)
    assert rule(batch([(0, 1), (1, 0)])) == ""
    said = rule(batch([(0.5, 0.5)]))
    assert bool(said) is ends
    if ends:
        assert "grew by 54.35% over the last 1 trials, less than 55.00%" in said


@pytest.mark.parametrize(("gain", "trials"), [(0.0, 5), (1.0, 5), (0.1, 0)])
def test_a_plateau_out_of_range_is_refused(gain, trials):
    with pytest.raises(DseError, match="plateau"):
        Plateau(gain, trials)


PLATEAU = "search.plateau={gain: 0.05, trials: 40}"


def test_a_run_ends_at_a_plateau_says_so_and_stopped_or_not_at_the_same_trial(study, tmp_path):
    long = (PLATEAU, "search.trials=600")
    whole = run_of(study(*long), tmp_path / "whole")
    assert whole.manifest["state"] == "plateau"
    assert 40 < len(whole.trials) < 500
    status = run_status(tmp_path / "whole")
    assert status.lines()["state"].startswith("plateau: the hypervolume grew by ")
    run_of(study(PLATEAU, "search.trials=33"), tmp_path / "cut")
    again, _ = resumed(study, tmp_path / "cut", "600")
    assert again.trials.codes.tobytes() == whole.trials.codes.tobytes()
    assert again.manifest["why"] == whole.manifest["why"]
    further, _ = resumed(study, tmp_path / "cut", None, {"plateau": None})
    assert len(further.trials) == 600
    assert further.manifest["why"] == ""


# -- wall time ------------------------------------------------------------------------------


def test_a_clock_runs_from_start_to_stop_and_counts_what_was_spent_before(monkeypatch):
    clock_at = [100.0]
    monkeypatch.setattr("dse.search.interrupts.time.monotonic", lambda: clock_at[0])
    clock = Clock(spent=50.0)
    assert not clock.expired()
    clock.start(60.0)
    clock_at[0] = 109.9
    assert not clock.expired()
    clock_at[0] = 110.0
    assert clock.expired()
    clock.stop()
    assert not clock.expired()


class Patient(Clock):
    """Is late the seventh time it is asked."""

    def __init__(self, spent=0.0):
        super().__init__()
        self.left = 7 if spent == 0 else 0

    def expired(self):
        self.left -= self._limit is not None
        return self._limit is not None and self.left <= 0


def test_a_run_whose_time_is_up_is_a_run_and_goes_on_when_it_is_given_more(
    study, tmp_path, monkeypatch
):
    whole = run_of(study(), tmp_path / "whole")
    monkeypatch.setattr(dse.study.runner, "Clock", Patient)
    cut = run_of(study("search.max_wall={value: 2, unit: min}"), tmp_path / "cut")
    assert cut.manifest["state"] == "wall time"
    assert cut.manifest["stopping"]["max_wall_s"] == 120.0
    assert "120.0 s" in run_status(tmp_path / "cut").lines()["state"]
    assert 0 < len(cut.trials) < 60
    assert (tmp_path / "cut" / "front.json").is_file()
    same, asked = resumed(study, tmp_path / "cut")
    assert (len(same.trials), asked) == (len(cut.trials), [])
    monkeypatch.undo()
    more, _ = resumed(study, tmp_path / "cut", None, {"max_wall_s": 1e6})
    assert more.manifest["state"] == "budget"
    assert more.trials.codes.tobytes() == whole.trials.codes.tobytes()
    assert more.manifest["identity"] == whole.manifest["identity"]


@pytest.mark.parametrize("text", ["30", "min", "-3min", "30 days", "nan min", "0s"])
def test_a_time_that_is_none_is_refused(text, study, tmp_path):
    study()
    app = command_line({"toy": toy([])})
    result = CliRunner().invoke(
        app,
        ["run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "r"), f"--max-wall={text}"],
    )
    assert isinstance(result.exception, DseError)
    assert "--max-wall" in str(result.exception)


def test_the_flags_of_the_command_reach_the_run(study, tmp_path):
    study()
    app = command_line({"toy": toy([])})
    (tmp_path / "d.csv").write_text("width,kind,depth\n0.5,new,3\n")
    arguments = ["--out", str(tmp_path / "r"), "--max-wall", "1.5h", "--warm-start"]
    file = str(tmp_path / "study.yaml")
    result = CliRunner().invoke(app, ["run", file, *arguments, str(tmp_path / "d.csv")])
    assert result.exit_code == 0, result.output
    run = read_run(tmp_path / "r")
    assert run.manifest["stopping"]["max_wall_s"] == 5400.0
    opening = run.manifest["opening"]
    assert designs(run.trials)[len(opening["codes"]) - 1] == (0.5, "new", 3.0)
