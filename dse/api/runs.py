"""A run and its front, with all that the commands of `dse` can do to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from dse.core.errors import DseError
from dse.core.parameters import Column, Value
from dse.core.problem import Trials
from dse.results import front as fronts
from dse.runs import store
from dse.runs.run_schema import Question

if TYPE_CHECKING:
    from pandas import DataFrame

    from dse.lut.exports import Format
    from dse.lut.table import LookupTable
    from dse.online.simulation.simulation_setup import SimulationConfig
    from dse.results.checks import Finding
    from dse.results.compare import Compared
    from dse.runs.status import RunStatus
    from dse.study.survival import Survival
    from dse.study.system import Breakdown, System

PlotKind = Literal["front", "3d", "parallel"]
"""Scatter of all trials; three objectives to turn; an axis for each knob and objective."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Front(fronts.Front):
    """The non-dominated designs of a run, best in the first objective first.

    Attributes:
        run: Whose front it is, or was before designs were selected.
    """

    run: store.Run | None = field(default=None, kw_only=True)

    @classmethod
    def of_run(cls, run: store.Run) -> Self:
        """The front of a run, with what was measured on held-out data when it ended."""
        plain = fronts.Front.of_run(run)
        return cls(
            plain.question, plain.trials, plain.numbers, plain.held_out, plain.held_out_columns,
            plain.accepted, run=run,
        )  # fmt: skip

    def __repr__(self) -> str:
        wanted = ", ".join(f"{o.name} {o.direction}" for o in self.question.objectives)
        return f"<Front of {self.question.study}: {len(self)} designs; {wanted}>"

    def to_pandas(self) -> "DataFrame":
        """The designs as a data frame: knobs, metrics and held-out metrics in SI units.

        The index is the number of the trial; `attrs["units"]` has the unit of each column.

        Raises:
            MissingDependency: If pandas is not installed.
        """
        frame = _frame(self.question, self.trials, self.numbers)
        for column in self.held_out_columns:
            rows = [self.held_out.get(int(n), {}).get(column["name"]) for n in self.numbers]
            frame[column["name"]] = rows
            frame.attrs["units"][column["name"]] = column["unit"]
        return frame

    def knee(self) -> dict[str, Value]:
        """The design nearest to the ideal point: its trial, knobs and metrics in SI units.

        Each objective is scaled to the front's own range.

        Raises:
            DseError: If the front is empty.
        """
        return self.design(self.knee_row())

    def design(self, row: int) -> dict[str, Value]:
        """A design by its row: its trial, knobs and metrics in SI units."""
        found = self.row(row)
        return {"trial": int(self.numbers[row]), **found["design"], **found["metrics"]}

    def plot(self, kind: PlotKind = "front", out: str | Path | None = None) -> Any:  # noqa: ANN401  (plotly ships no types)
        """Draw the front; a notebook shows the figure that is returned.

        Args:
            kind: `front` has all trials of the run around it.
            out: Write a self-contained page (.html) there as well.

        Raises:
            DseError: If the front is empty, or the kind does not exist or needs more objectives.
        """
        from dse.plots import interactive

        figure = self._figure(kind)
        if out is not None:
            interactive.write_html(figure, Path(out))
        return figure

    def _figure(self, kind: PlotKind) -> Any:  # noqa: ANN401  (plotly ships no types)
        if kind == "front":
            from dse.plots.front_view import FrontView
            from dse.plots.interactive import front_figure

            whole = self.trials if self.run is None else self.run.trials
            return front_figure(FrontView.of(self.question, whole, accepted=self.accepted))
        if kind == "3d":
            from dse.plots.front_3d import front_3d_figure

            return front_3d_figure(self, marked={"knee": [self.knee_row()]})
        if kind == "parallel":
            from dse.plots.parallel import parallel_figure
            from dse.plots.parallel_view import ParallelView

            return parallel_figure(ParallelView.of(self))
        raise DseError(f"kind = {kind!r}: front, 3d and parallel are drawn")

    def compare(self, *others: "Front | Run | str | Path") -> "tuple[Compared, ...]":
        """This front beside those of other runs that ask the same; see `dse compare`.

        Returns:
            One row for each run, this one first: hypervolume, what it keeps, what is new.

        Raises:
            DseError: If objectives or limits differ.
        """
        from dse.results.compare import compared

        return compared([self._run(), *(_stored(other) for other in others)])

    def export(  # noqa: PLR0913  (what a table can be told)
        self,
        format: "Format" = "json",
        out: str | Path | None = None,
        *,
        device: str = "",
        design: Mapping[str, Value] | None = None,
        only: Mapping[str, Value] | None = None,
        rows: int | None = None,
        context: str = "",
        hysteresis: float = 0.0,
    ) -> Path:
        """Write the lookup table of one device: its fixed design and the settings to choose from.

        A table is cut from all trials of the run's design, also where designs were selected here.

        Args:
            format: json, binary, c, rust, dts, csv or cbor.
            out: File to write; None: in the folder `tables` of the run.
            device: Device that the table is for.
            design: Values of the knobs that are fixed before run time; None: the best design.
            only: Values of run-time knobs; trials with others are left out.
            rows: Most rows.
            context: What else the table holds for, such as `bandwidth=good`.
            hysteresis: Share of a range that a switch must gain, 0 to 1.

        Returns:
            The file.

        Raises:
            DseError: If the run has no such design, or the table cannot be written.
        """
        from dse.lut.exports import FILE_NAMES, exported
        from dse.lut.files import write_within

        run = self._run()
        asked = {"design": design or {}, "only": only or {}, "rows": rows, "device": device}
        table = self.table(**asked, context=context, hysteresis=hysteresis)
        data = exported(table, format)
        path = run.folder / "tables" / FILE_NAMES[format] if out is None else Path(out)
        return write_within(path.parent, path.name, data)

    def table(self, **order: Any) -> "LookupTable":  # noqa: ANN401  (the fields of `Order`)
        """The lookup table itself; arguments as for `export`."""
        from dse.lut.build import Order, lookup_table

        run = self._run()
        return lookup_table(run, Order(**run.manifest["export"], **order))

    def _run(self) -> store.Run:
        if self.run is None:
            raise DseError("this front belongs to no run: take `front` of a run (dse.load)")
        return self.run


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Run(store.Run):
    """A run as read from its folder; `dse.load`, `dse.minimize` and `dse.run_study` give one.

    Attributes:
        folder: Of the run.
        question: What was asked: columns with units, objectives, constraints.
        trials: Every evaluated design, as columns.
        manifest: What the run was begun with, and how it ended.
    """

    def __repr__(self) -> str:
        front = len(fronts.Front.of(self.question, self.trials))
        return (
            f"<Run {self.folder}: {self.question.study}, {len(self.trials)} trials, "
            f"{front} on the front, {self.state}>"
        )

    @property
    def front(self) -> Front:
        """The non-dominated feasible designs."""
        return Front.of_run(self)

    @property
    def state(self) -> str:
        """How the run ended: budget, exhausted, nothing new, plateau, wall time or interrupted.

        Or that it is running, or was killed.
        """
        return self.status().state

    def to_pandas(self) -> "DataFrame":
        """All trials as a data frame; NaN where a failed trial has no metric.

        Beside knobs and metrics in SI units it has `feasible` and `failure`, which is empty where a
        trial was evaluated.

        Raises:
            MissingDependency: If pandas is not installed.
        """
        frame = _frame(self.question, self.trials, np.arange(len(self.trials)))
        frame["feasible"] = self.trials.feasible
        frame["failure"] = [
            "" if failure is None else f"{failure.kind}: {failure.reason}"
            for failure in self.trials.failures
        ]
        return frame

    def plot(self, out: str | Path | None = None) -> tuple[Path, ...]:
        """Write front.html, front.png and points.csv; see `dse plot`.

        Args:
            out: Folder; None: `plots` of the run.
        """
        from dse.plots.files import write_plots

        return write_plots(self, self.folder / "plots" if out is None else Path(out))

    def status(self) -> "RunStatus":
        """How far the run is and who works on it; see `dse status`."""
        from dse.runs.status import run_status

        return run_status(self.folder)

    def check(self) -> "list[Finding]":
        """Everything that must hold of the run, and what is wrong; see `dse check`."""
        from dse.accuracy.cache import cache_root
        from dse.results.checks import check_run

        return check_run(self.folder, cache_root())

    def compare(self, *others: "Front | Run | str | Path") -> "tuple[Compared, ...]":
        """This run beside others that ask the same; see `Front.compare`."""
        return self.front.compare(*others)

    def export(self, format: "Format" = "json", **order: Any) -> Path:  # noqa: ANN401
        """Write a lookup table; see `Front.export`."""
        return self.front.export(format, **order)

    def importance(self, out: str | Path | None = None) -> Any:  # noqa: ANN401  (matplotlib's)
        """A figure of which knob moves which objective.

        Args:
            out: Write it there as well (.png).

        Raises:
            DseError: If too few trials were evaluated.
        """
        from dse.plots.importance import KnobImportance, importance_figure
        from dse.plots.static import write_png

        found = KnobImportance.of(self.question, self.trials)
        figure = importance_figure(found, f"{self.question.study}: which knob moves what")
        if out is not None:
            write_png(figure, Path(out))
        return figure

    def simulate(
        self,
        policies: Sequence[str] | None = None,
        config: "SimulationConfig | None" = None,
        queue: Literal["none", "blind", "aware"] = "none",
    ) -> "DataFrame":
        """Try policies on a stream of requests; see `dse simulate`.

        Args:
            policies: Names; None: all that apply.
            config: What is asked of the simulation.
            queue: Whether requests wait, and whether the policy is told.

        Returns:
            One row for each policy: shares of late requests, energy [J], latencies [s], switches.

        Raises:
            DseError: If the run lacks a latency or an energy, or a policy does not exist.
            MissingDependency: If pandas is not installed.
        """
        from dataclasses import asdict

        from dse.online.simulation.simulation_setup import (
            SimulationConfig,
            SimulationSetup,
            compare,
        )

        setup = SimulationSetup.of(self, config or SimulationConfig())
        _, lines, _ = compare(setup, policies or setup.policy_set.names, queue)
        return _pandas().DataFrame([asdict(line) for line in lines]).set_index("policy")

    def survive(
        self, draws: int = 200, seed: int = 1, system: "System[Any] | None" = None
    ) -> "Survival":
        """Which designs of the front survive drawn constants; see `dse survive`.

        Args:
            draws: Sets of constants.
            seed: Of the draws.
            system: Of the run, where no installed package offers it.

        Raises:
            DseError: If the front is empty, or the system draws nothing.
        """
        from dse.study.plugins import systems_of
        from dse.study.survival import survival

        return survival(self.folder, systems_of(self.manifest, system), draws, seed)

    def breakdown(
        self, trials: Sequence[int] | None = None, system: "System[Any] | None" = None
    ) -> "Breakdown":
        """Parts of metrics of some designs by stage and component, as the run's system has them.

        Args:
            trials: Numbers; None: those of the front.
            system: Of the run, where no installed package offers it.

        Returns:
            Metric -> component -> its part in SI units, shape (stages, designs).

        Raises:
            DseError: If the system has no breakdown.
        """
        from dse.runs.manifest import RESOLVED
        from dse.study.loader import load_study
        from dse.study.plugins import systems_of

        study = load_study(self.folder / RESOLVED, systems_of(self.manifest, system))
        if study.system.breakdown is None:
            raise DseError(
                f"the system {study.system.name!r} does not take its metrics apart: its member "
                "`breakdown` (dse.System) gives their parts"
            )
        rows = self.front.numbers if trials is None else np.asarray(trials, dtype=np.intp)
        some = self.trials.rows(rows)
        return study.system.breakdown(study.settings, {**some.designs, **some.metrics})


def load(folder: str | Path) -> Run:
    """A run with all its trials, each verified.

    Raises:
        RunError: If the folder is no run, or is of another version.
        RunDamaged: If its files do not verify.
    """
    found = store.read_run(Path(folder))
    return Run(found.folder, found.question, found.trials, found.manifest)


def _stored(other: "Front | Run | str | Path") -> store.Run:
    if isinstance(other, Front):
        return other._run()
    return other if isinstance(other, store.Run) else load(other)


def _pandas() -> Any:  # noqa: ANN401  (pandas ships no types)
    from dse.core.extras import require_extra

    require_extra("a data frame", "pandas")
    import pandas

    return pandas


def _frame(question: Question, trials: Trials, numbers: Column) -> "DataFrame":
    columns = {**trials.designs, **{name: column for name, column in trials.metrics.items()}}
    frame = _pandas().DataFrame(columns, index=numbers)
    frame.index.name = "trial"
    ok = trials.ok
    if not ok.all():
        for name in trials.metrics:
            frame.loc[~ok, name] = np.nan if frame[name].dtype.kind == "f" else None
    frame.attrs["units"] = {q.name: q.unit for q in question.quantities}
    return frame
