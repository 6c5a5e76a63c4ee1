"""What rows need beside their settings: parts that a table carries, and weights that it names."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import Column
from dse.core.problem import Trials
from dse.lut.table import ExitPredictor, OperatingPoint
from dse.results.front import Front
from dse.runs.run_schema import TAUGHT_BY, VOLTAGES

DVFS, SENTENCE = "dvfs", "sentence"
"""Knob and value of rows that set the voltage per request, from the exit that is foretold."""

PREDICT_LAYER = "predict_layer"
"""Knob of these rows: layer whose entropy is looked up in the exit predictor."""

SIGNAL, HEAD = "appeal_signal", "appeal"
"""Knob and value of rows that ask a learned head whether an answer is trusted."""

HEAD_OF = ("split_layer", "beta")
"""Design knobs that a head is fitted for; which large network it knows is `cloud_network`."""

MOST_NAMED = 5
"""Trials that a refusal names."""


def require_parts(
    front: Front,
    trials: Trials,
    facts: Mapping[str, str],
    exit_predictor: ExitPredictor | None,
    operating_points: tuple[OperatingPoint, ...],
) -> None:
    """Refuse rows that no runtime could execute with the parts given.

    Args:
        front: The rows.
        trials: Of the whole run, for what could be chosen instead.
        facts: Of the run; they say where the parts can be had, if it kept that.
        exit_predictor: That the table would carry.
        operating_points: That the table would carry.

    Raises:
        DseError: With the rows, what they lack, and what to pass or to leave out.
    """
    rows = _having(front.trials.designs, DVFS, SENTENCE)
    if not rows.any():
        return
    lacking = _lacking(front.trials.designs, rows, exit_predictor, facts.get(TAUGHT_BY, ""))
    if not operating_points:
        table = facts.get(VOLTAGES)
        more = f"; this run's: dse tables {table} --format csv > FILE.csv" if table else ""
        lacking.append(f"a V/f table (--points FILE.csv{more})")
    if not lacking:
        return
    named = [str(number) for number in front.numbers[rows][:MOST_NAMED]]
    more = " ..." if rows.sum() > MOST_NAMED else ""
    others = sorted({str(value) for value in trials.designs[DVFS]} - {SENTENCE})
    instead = f"; or leave them out: --only {DVFS}={others[0]}" if others else ""
    raise DseError(
        f"{rows.sum()} of {len(front)} rows have {DVFS} = {SENTENCE} (trials {', '.join(named)}"
        f"{more}) and cannot be executed without {' and '.join(lacking)}{instead}"
    )


def _lacking(
    designs: Mapping[str, Column],
    rows: NDArray[np.bool_],
    given: ExitPredictor | None,
    taught_by: str,
) -> list[str]:
    layers = sorted(
        {int(v) for v in designs[PREDICT_LAYER][rows]} if PREDICT_LAYER in designs else ()
    )
    if len(layers) > 1:
        listed = ", ".join(map(str, layers))
        return [
            f"exit predictors after layers {listed}, of which a table carries one (keep one "
            f"layer: --only {PREDICT_LAYER}={layers[0]})"
        ]
    layer = layers[0] if layers else None
    if given is None:
        after = "" if layer is None else f" --exit-layer {layer}"
        learnt = "dse predictor fits one"
        if taught_by:
            early = "" if layer is None else f" --predict-layer {layer}"
            learnt = f"this run's: dse predictor {taught_by}{early} --out FILE.csv"
        return [f"an exit predictor (--exit-lut FILE.csv{after}; {learnt})"]
    if layer is not None and given.layer != layer:
        return [f"an exit predictor after layer {layer}; the one given reads layer {given.layer}"]
    return []


def heads(front: Front, identity: str) -> dict[str, str]:
    """Facts that name the learned heads which the rows ask: weights, so no part of a table.

    A head is settled by the run (data, networks, code), the depth and the price of an appeal that
    it is fitted for, and the large network whose mistakes it knows; the run keeps no weights.

    Args:
        front: The rows, of one design.
        identity: Of the run.
    """
    designs = front.trials.designs
    rows = np.flatnonzero(_having(designs, SIGNAL, HEAD))
    if not len(rows):
        return {}
    fitted = [f"{name} = {designs[name][rows[0]].item()}" for name in HEAD_OF if name in designs]
    clouds = (
        sorted({str(c) for c in designs["cloud_network"][rows]})
        if "cloud_network" in designs
        else [""]
    )
    return {
        f"appeal_head {cloud}".strip(): ", ".join([*fitted, f"of run {identity}"])
        for cloud in clouds
    }


def _having(designs: Mapping[str, Column], name: str, value: str) -> NDArray[np.bool_]:
    """Rows with a choice, shape (n,); none where there is no such knob."""
    if name not in designs:
        return np.zeros(len(next(iter(designs.values()))), dtype=bool)
    return np.asarray(designs[name] == value, dtype=bool)
