"""Records what the hardware models say of 20,000 random machines: `first_edition.npz`.

    python tests/hw_models/golden/record.py

The file was recorded with the models of version 0.2.0, before they were rewritten as a columnar
core. A new core is held against it to 1e-12 relative. It is never recorded anew because the core
has changed; only if a physical choice changes on purpose, in a commit that says which one.

The file holds the inputs, too. Results keep 44 bits of their mantissa, which is 3e-14 relative and
makes the file smaller. Arrays of the file:

    case_*            columns of `machines`: place of an option, whole number, or real in SI units
    sentence          `costs.sentence` of every case, shape (quantities, 20000); 0 if absent
    deadline          means of the first 3,000 cases with a deadline, shape (quantities, 3000)
    exit_row          row of the voltage table by exit layer, shape (12, 3000); 254: nominal supply
    exit_feasible     1 if the deadline is met, 0 if not
    exit_energy, exit_latency   [J], [s]; NaN (255 in the two above) beyond the network's depth
    layers            `costs.layers` of the first 600, shape (quantities, 600)
    *_names           names of quantities
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import costs
import numpy as np
from machines import DEEPEST, OPTIONS, SHAPES, Cases, design, draw, machine
from numpy.typing import NDArray

FILE = Path(__file__).resolve().parent / "first_edition.npz"
SEED = 20_000
CASES, WITH_DEADLINE, BY_LAYER = 20_000, 3_000, 600
AT_NOMINAL, BEYOND = 254, 255


def main() -> None:
    """Draw, evaluate, write, and say how often everything occurs."""
    cases = draw(SEED, CASES)
    cases |= {name: cases[name][..., :WITH_DEADLINE] for name in ("early_layers", "exit_weights")}
    cases["deadline"] = _deadlines(cases, cases.pop("deadline_factor"))
    names, sentence = _table(costs.sentence, cases, range(CASES))
    arrays: dict[str, NDArray[Any]] = {"sentence_names": names, "sentence": sentence}
    arrays |= _with_deadlines(cases)
    arrays["layers_names"], arrays["layers"] = _table(costs.layers, cases, range(BY_LAYER))
    kept = {name: shortened(a) if a.dtype == np.float64 else a for name, a in arrays.items()}
    np.savez_compressed(FILE, **{f"case_{name}": a for name, a in cases.items()}, **kept)  # type: ignore[arg-type]
    _say_shares(cases, dict(zip(names.tolist(), sentence, strict=True)), arrays)
    sys.stdout.write(f"{FILE.name}: {FILE.stat().st_size / 2**20:.2f} MiB\n")


def shortened(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values with the last 8 bits of the mantissa rounded to zero; NaN and zero stay."""
    bits = values.copy().view(np.uint64)
    rounded = (bits + np.uint64(0x80)) & ~np.uint64(0xFF)
    return np.asarray(rounded.view(np.float64), dtype=np.float64)


def _deadlines(cases: Cases, factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors of the time of all layers at the nominal supply [s], three digits each."""
    found = []
    for case in range(WITH_DEADLINE):
        chip = machine(cases, case)
        depth = {name: np.array([float(chip.shape.layers)])
                 for name in ("mean_exit_layer", "p95_exit_layer")}  # fmt: skip
        nominal = {"vdd": np.array([chip.points.nominal_vdd])}
        whole = chip(design(cases, case) | depth | nominal)["latency_p95"][0]
        found.append(float(f"{factors[case] * whole:.2e}"))
    return np.array(found)


def _table(
    ask: Callable[[Cases, int], Mapping[str, float]],
    cases: Cases,
    wanted: Sequence[int],
    absent: float = 0.0,
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Names of all quantities, and their values for every case, shape (quantities, cases)."""
    rows = [ask(cases, case) for case in wanted]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return np.array(names), np.array([[row.get(name, absent) for row in rows] for name in names])


def _with_deadlines(cases: Cases) -> dict[str, NDArray[Any]]:
    names, found = _table(costs.deadline, cases, range(WITH_DEADLINE), absent=np.nan)
    by_exit = {
        name: np.array([found[names.tolist().index(f"exit_{name}.{i + 1}")]
                        for i in range(DEEPEST)])
        for name in costs.EXITS
    }  # fmt: skip
    _require_no_tie(cases, by_exit["vdd"])
    means = [not name.startswith("exit_") for name in names.tolist()]
    beyond = np.isnan(by_exit["energy"])
    return {
        "deadline_names": names[means],
        "deadline": found[means],
        "exit_row": _rows(cases, by_exit["vdd"]),
        "exit_feasible": np.where(beyond, BEYOND, by_exit["feasible"] == 1).astype(np.uint8),
        "exit_energy": by_exit["energy"],
        "exit_latency": by_exit["latency"],
    }


def _rows(cases: Cases, vdd: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Row of the voltage table of each exit, shape (12, cases)."""
    rows = np.full(vdd.shape, BEYOND, dtype=np.uint8)
    for case in range(vdd.shape[1]):
        depth, early = np.isfinite(vdd[:, case]).sum(), int(cases["early_layers"][case])
        grid = machine(cases, case).points.table.columns["vdd"]
        rows[:depth, case] = np.searchsorted(grid, vdd[:depth, case])
        rows[:early, case] = AT_NOMINAL
    return rows


def _require_no_tie(cases: Cases, vdd: NDArray[np.float64]) -> None:
    """Refuse a deadline that a sentence meets to the last bits: rounding would decide the row."""
    for factor in (1 - 1e-9, 1 + 1e-9):
        moved = {**cases, "deadline": cases["deadline"] * factor}
        for case in range(vdd.shape[1]):
            found = costs.deadline(moved, case)
            rows = [found.get(f"exit_vdd.{i + 1}", np.nan) for i in range(DEEPEST)]
            if not np.array_equal(rows, vdd[:, case], equal_nan=True):
                raise ValueError(f"case {case}: its deadline is a sentence's duration; reseed")


def _say_shares(
    cases: Cases, found: Mapping[str, NDArray[np.float64]], arrays: Mapping[str, NDArray[Any]]
) -> None:
    for name, options in OPTIONS.items():
        counts = np.bincount(cases[name], minlength=len(options))
        listed = ", ".join(f"{o} {count}" for o, count in zip(options, counts, strict=True))
        sys.stdout.write(f"{name}: {listed}\n")

    def chose(name: str, *wanted: object) -> NDArray[np.bool_]:
        return np.isin(cases[name], [OPTIONS[name].index(value) for value in wanted])

    shapes = [SHAPES[name] for name in OPTIONS["shape"]]
    widest = np.array([max(s.hidden, s.ffn) for s in shapes])[cases["shape"]]
    tokens = np.array(OPTIONS["sequence_length"])[cases["sequence_length"]]
    several = chose("envm_cell", "rram_mlc2", "rram_mlc3", "fefet_mlc2")
    streams_longer = chose("overlap", True) & (found["latency_p95.stall"] > 0)
    row, early = arrays["exit_row"], cases["early_layers"]
    late = (np.arange(DEEPEST)[:, np.newaxis] >= early) & (row != BEYOND)
    shares = {
        "hidden streams longer than computing": streams_longer,
        "the same from macros": streams_longer & chose("weights", "envm"),
        "the same from banks": streams_longer & chose("weights", "sram"),
        "the same from DRAM": streams_longer & chose("weights", "dram"),
        "volatile cell": chose("envm_cell", "sram"),
        "gated and non-volatile": chose("idle", "gated") & ~chose("envm_cell", "sram"),
        "mask in macros of its own": several & chose("mask", "single_level"),
        "streamed in several passes": tokens * widest * cases["activation_bits"] / 8 > 2**17,
        "load at power-on": found["startup.power_on_energy"] > 0,
        "late exits that meet the deadline": arrays["exit_feasible"][late] == 1,
        "late exits on the lowest row": row[late] == 0,
        "late exits on a row between": (row[late] > 0) & (row[late] < 12),
    }
    for name, share in shares.items():
        sys.stdout.write(f"{name}: {share.sum()} of {share.size}, {share.mean():.3f}\n")


if __name__ == "__main__":
    main()
