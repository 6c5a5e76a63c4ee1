"""From what a person asks of a simulation to requests, a link, outcomes and policies."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.core.units import to_si
from dse.lut.files import read_table
from dse.online.policies.bandwidth import Transfers
from dse.online.policies.lookup_table import TablePolicy
from dse.online.policies.policy_set import PolicySet
from dse.online.policies.switching_costs import Switching
from dse.online.requests import UNSET, Requests, State
from dse.online.rows import Rows, Staircase, by_energy
from dse.online.simulation.outcome_models import (
    AsPriced,
    AtBandwidth,
    Drawn,
    Noisy,
    Outcomes,
    recorded_quantile,
)
from dse.online.simulation.simulator import (
    Queue,
    Simulation,
    Summary,
    hopeless,
    simulate,
    summary,
    with_bandwidth,
)
from dse.online.simulation.workloads import (
    BandwidthTrace,
    Bursts,
    poisson_arrivals,
    published_deadlines,
    read_requests,
    read_trace,
    stretched_weibull,
)
from dse.online.trials.store import Measurements, read_measurements
from dse.runs.store import Run

CALIBRATION = 100
"""Mean times between jumps for which a drawn link is watched before the first request."""

_QUANTITY = re.compile(r"^\s*([0-9.eE+-]+)\s*([A-Za-z/%]+)\s*$")


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """What is asked for, as a person writes it; quantities are texts with their unit.

    Attributes:
        requests: How many.
        seed: Of workload, link and luck.
        workload: File to replay instead.
        published: Network of DynaSplit whose own workload to take instead.
        deadlines: `LOW,HIGH`, or None for the run's fastest and slowest latency.
        arrivals: When requests come.
        rate: Mean requests per second [Hz].
        accuracy: Least accuracy of every request [1].
        quantile: That the policy `quantile` holds deadlines against [1].
        noise: Sigma of a log-normal factor on outcomes [1].
        switch_time, switch_energy: Of any change of rows.
        hysteresis: Of the policy `switching` [1].
        bandwidth: A trace file, or levels; None for the link of the run.
        dwell: Mean time between jumps of the link [s].
        latency, energy: Metrics; None: those that the run's system names, else of these names.
        cut: Knob that counts the layers on the edge, ignored if the run has none; None: that of the
            run's system, else `split_layer`.
        design: Texts knob=value that settle the device.
        table: Exported lookup table of the run, for the policy `table`; None for none.
    """

    requests: int = 10_000
    seed: int = 0
    workload: Path | None = None
    published: str | None = None
    deadlines: str | None = None
    arrivals: Literal["steady", "poisson", "bursty"] = "steady"
    rate: float = 1.0
    accuracy: float = 0.0
    quantile: float = 0.95
    noise: float = 0.0
    switch_time: str = "0s"
    switch_energy: str = "0J"
    hysteresis: float = 0.05
    bandwidth: str | None = None
    dwell: float = 60.0
    latency: str | None = None
    energy: str | None = None
    cut: str | None = None
    design: tuple[str, ...] = ()
    table: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SimulationSetup:
    """Requests, what rows do to them, and who may decide.

    Attributes:
        requests: In the order of arrival, the link's bandwidth among them.
        outcomes: What a row does.
        policy_set: The policies.
        facts: One line for people.
        start: What the first request finds: nothing set, and the bandwidth measured before it.
    """

    requests: Requests
    outcomes: Outcomes
    policy_set: PolicySet
    facts: str
    start: State

    @classmethod
    def of(cls, run: Run, config: SimulationConfig) -> "SimulationSetup":
        """The setup that a person asks for on a run.

        Raises:
            DseError: If the run lacks what is asked for, or a quantity does not read.
        """
        energy, latency, cut = _names(run, config)
        choices = Rows.of(
            run.question,
            run.trials,
            energy=energy,
            latency=latency,
            design=run.question.settings(config.design, "--design"),
        )
        if config.accuracy > 0 and not choices.accuracy.any():
            raise DseError("--accuracy: the run has no metric accuracy to hold it against")
        # One stream each, so that another link or more noise leaves the requests as they are.
        streams = np.random.SeedSequence(config.seed).spawn(4)
        requests = _requests(config, choices, np.random.default_rng(streams[0]))
        recorded = read_measurements(run.folder)
        changing = config.bandwidth is not None or bool(np.isfinite(requests.bandwidth).all())
        transfers = Transfers.of(run, choices) if changing else None
        link, other = (np.random.default_rng(streams[i]) for i in (1, 3))
        requests, earlier = _linked(config, requests, link, other)
        luck = int(streams[2].generate_state(1)[0])
        names = latency, energy
        outcomes, pessimist = _outcomes(choices, transfers, recorded, config, luck, names)
        policy_set = PolicySet(
            choices=choices,
            switching=Switching(
                choices.settings, _si(config.switch_time, "s"), _si(config.switch_energy, "J")
            ),
            hysteresis=config.hysteresis,
            cut=cut if cut in choices.settings else None,
            pessimist=pessimist,
            transfers=transfers,
            floors=_floors(earlier),
            table=_table_policy(run, config, choices, names),
        )
        facts = _facts(requests, choices, recorded, config, earlier)
        start = State(UNSET, float(earlier[-1]) if len(earlier) else np.inf)
        return cls(requests, outcomes, policy_set, facts, start)


def _names(run: Run, config: SimulationConfig) -> tuple[str, str, str]:
    """Energy metric, latency metric and cut of a run: as asked, else as its system says.

    Raises:
        DseError: If the run has no such metric.
    """
    said = run.manifest.get("requests") or {}
    energy = config.energy or said.get("energy", "energy")
    latency = config.latency or said.get("latency", "latency")
    metrics = {q.name: q.unit for q in run.question.metrics}
    for flag, name, unit in (("energy", energy, "J"), ("latency", latency, "s")):
        if metrics.get(name) != unit:
            there = ", ".join(n for n, u in metrics.items() if u == unit) or "none"
            raise DseError(
                f"the run has no metric {name} in {unit}; in {unit} there are: {there}. Name one "
                f"with --{flag}, or let the system say it in its member `requests` (dse.System)"
            )
    return energy, latency, config.cut or said.get("cut") or "split_layer"


def compare(
    setup: SimulationSetup, names: Sequence[str], queue: Queue
) -> tuple[dict[str, Simulation], list[Summary], str]:
    """Every policy on the same requests; simulations, their summaries, and the reference's name.

    Energy is told against the policy `cloud` where the run has one, else against `fastest`.

    Raises:
        DseError: If a policy does not exist here.
    """
    policy_set, requests, outcomes = setup.policy_set, setup.requests, setup.outcomes
    reference = "cloud" if policy_set.cut else "fastest"
    asked = list(dict.fromkeys(names))
    runs = {
        name: simulate(
            policy_set.policy(name), requests, outcomes, policy_set.switching, queue, setup.start
        )
        for name in dict.fromkeys([*asked, reference])
    }
    beyond = hopeless(requests, outcomes, _fast_rows(setup))
    base = float(runs[reference].energy.mean())
    lines = [
        summary(name, runs[name], reference=base, hopeless=beyond, places=policy_set.places())
        for name in asked
    ]
    return {name: runs[name] for name in asked}, lines, reference


def _fast_rows(setup: SimulationSetup) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows of which one is the fastest for every request: a front, or all if there are few."""
    choices = setup.policy_set.choices
    if len(choices) <= 200 or setup.policy_set.floors or setup.policy_set.pessimist:
        return np.flatnonzero(choices.open)
    return Staircase.of(by_energy(choices), choices.latency).rows


def _requests(config: SimulationConfig, choices: Rows, rng: np.random.Generator) -> Requests:
    set_by = {"--workload": config.workload, "--published": config.published,
              "--deadlines": config.deadlines}  # fmt: skip
    given = [name for name, value in set_by.items() if value is not None]
    if len(given) > 1:
        raise DseError(f"{' and '.join(given)} both say what the deadlines are; give one")
    if config.workload is not None:
        if config.accuracy > 0 or config.arrivals != "steady":
            raise DseError("a replayed file says itself when requests come and what they ask for")
        return read_requests(config.workload)
    low, high = float(choices.latency.min()), float(choices.latency.max())
    if config.deadlines is not None:
        ends = config.deadlines.split(",")
        if len(ends) != 2:
            raise DseError(f"--deadlines {config.deadlines}: write LOW,HIGH, e.g. 90ms,5s")
        low, high = (_si(end, "s") for end in ends)
    n = config.requests
    if config.published is None:
        deadline = stretched_weibull(n, low, high, rng)
    else:
        deadline = published_deadlines(n, config.published)
    return Requests.of(deadline, arrival=_arrivals(config, n, rng), accuracy=config.accuracy)


def _arrivals(config: SimulationConfig, n: int, rng: np.random.Generator) -> FloatArray:
    if config.arrivals == "poisson":
        return poisson_arrivals(n, config.rate, rng)
    if config.arrivals == "bursty":
        return Bursts.around(config.rate).arrivals(n, rng)
    if not config.rate > 0:
        raise DseError(f"--rate {config.rate} must be positive")
    return np.arange(float(n)) / config.rate


def _linked(
    config: SimulationConfig,
    requests: Requests,
    rng: np.random.Generator,
    other: np.random.Generator,
) -> tuple[Requests, FloatArray]:
    """Requests over their link, and what had been measured of it before the first one [bit/s].

    A drawn link has been watched in another draw. Of a recorded one, the first tenth of the
    requests is what has been measured, and only the others are asked. Nothing is measured of an
    endless link.
    """
    text = config.bandwidth
    if text is None and not np.isfinite(requests.bandwidth).all():
        return requests, np.empty(0)
    if text is not None and not text.endswith((".csv", ".parquet")):
        levels = np.array([_si(part, "bit/s") for part in text.split(",")])
        if len(levels) == 1:
            return with_bandwidth(requests, np.broadcast_to(levels, len(requests))), levels
        end = float(requests.arrival[-1])
        trace = BandwidthTrace.drawn(levels, config.dwell, end, rng)
        earlier = BandwidthTrace.drawn(levels, config.dwell, CALIBRATION * config.dwell, other)
        return with_bandwidth(requests, trace.at(requests.arrival)), earlier.bandwidth
    if text is not None:
        requests = with_bandwidth(requests, read_trace(Path(text)).at(requests.arrival))
    n = len(requests)
    if n < 2:
        raise DseError(f"a recorded link needs 2 requests, the first of which measure it; got {n}")
    first = max(n // 10, 1)
    return requests.take(np.arange(first, n)), requests.bandwidth[:first]


def _floors(bandwidth: FloatArray) -> tuple[float, ...]:
    """Bandwidth classes: the levels that were measured, or eight quantiles of more; or none."""
    levels = np.unique(bandwidth)
    if len(levels) > 8:
        levels = np.unique(np.quantile(bandwidth, np.arange(8) / 8, method="lower"))
    return tuple(levels.tolist())


def _outcomes(
    choices: Rows,
    transfers: Transfers | None,
    recorded: Measurements | None,
    config: SimulationConfig,
    luck: int,
    names: tuple[str, str],
) -> tuple[Outcomes, Callable[[Rows], Rows] | None]:
    """What rows do, and how a careful policy sees them; `names` of latency and energy."""
    if recorded is not None:
        if transfers is not None:
            raise DseError("measured runs were measured over one link; it cannot change")
        latency = recorded_quantile(choices, recorded, names[0], config.quantile)
        drawn = Drawn.of(choices, recorded, luck, names)
        outcomes: Outcomes = Noisy(drawn, config.noise, luck + 1) if config.noise else drawn
        return outcomes, lambda table: table.promising(latency)
    plain = AtBandwidth(choices, transfers) if transfers is not None else AsPriced(choices)
    if not config.noise:
        return plain, None
    noisy = Noisy(plain, config.noise, luck)
    factor = noisy.quantile(config.quantile)
    return noisy, lambda table: table.promising(table.latency * factor)


def _table_policy(
    run: Run, config: SimulationConfig, choices: Rows, names: tuple[str, str]
) -> TablePolicy | None:
    if config.table is None:
        return None
    table, _ = read_table(config.table)
    if table.run_identity != run.identity:
        raise DseError(
            f"{config.table.name} was exported from the run {table.run_identity[:12]}..., "
            f"{run.folder} is {run.identity[:12]}..."
        )
    return TablePolicy.of(table, choices, names)


def _si(text: str, unit: str) -> float:
    found = _QUANTITY.match(text)
    try:
        number = float(found.group(1)) if found else np.nan
    except ValueError:
        number = np.nan
    if found is None or not np.isfinite(number):
        raise DseError(
            f"{text!r} is no quantity in {unit}; write a number and its unit, e.g. 2{unit}"
        )
    return to_si(number, found.group(2), unit)


def _facts(
    requests: Requests,
    choices: Rows,
    recorded: Measurements | None,
    config: SimulationConfig,
    earlier: FloatArray,
) -> str:
    parts = [
        f"{len(requests):,} requests over {len(choices):,} rows",
        f"deadlines {requests.deadline.min():.4g} to {requests.deadline.max():.4g} s",
        f"of {config.workload.name}" if config.workload else f"{config.arrivals} arrivals",
    ]
    if config.published:
        parts.append(f"published workload of {config.published}")
    if recorded is not None:
        parts.append(f"outcomes drawn from {len(recorded.trial):,} measured runs")
    if config.noise:
        parts.append(f"log-normal noise, sigma {config.noise:g}")
    if len(earlier):
        mbit, classes = requests.bandwidth / 1e6, len(_floors(earlier))
        known = f"in {classes} classes of {len(earlier):,} earlier values"
        parts.append(f"link {mbit.min():.4g} to {mbit.max():.4g} Mbit/s {known}")
    if config.workload is None:
        parts.append(f"seed {config.seed}")
    return ", ".join(parts)
