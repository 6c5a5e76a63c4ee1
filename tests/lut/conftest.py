"""Random tables of every shape, and a small one that tests may read by heart."""

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dse.lut.binary import pack
from dse.lut.table import (
    LARGEST,
    Default,
    Evidence,
    ExitPredictor,
    FixedKnob,
    KeptLimit,
    LookupTable,
    OperatingPoint,
    Prediction,
    Row,
    Setting,
    Validity,
)

PRINTABLE = "".join(chr(c) for c in range(0x20, 0x7F))
UNITS = ("V", "J", "s", "1", "Hz", "nat", "m^2", "layer")
EVIDENCE: tuple[Evidence, ...] = ("measured", "closed form", "published", "unverified")


def in_order(table_parts, predictions, rows, sorted_by, best):
    """The parts as a table: rows sorted by the rule, the default row found."""
    flips = [-1 if p.direction == "max" else 1 for p in predictions]
    names = [p.name for p in predictions]

    def losses(row):
        return tuple(f * v for f, v in zip(flips, row.predictions, strict=True))

    first, which = names.index(sorted_by), names.index(best)
    unique = {(losses(r)[first], losses(r), r.settings): r for r in rows}
    ordered = tuple(unique[key] for key in sorted(unique))
    default = min(range(len(ordered)), key=lambda i: losses(ordered[i])[which])
    return LookupTable(
        **table_parts,
        predictions=tuple(predictions),
        sorted_by=sorted_by,
        default=Default(default, best),
        rows=ordered,
    )


class Draw:
    """Random tables from one generator; small numbers make ties, large ones reach the edge."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def integer(self, low, high):
        return int(self.rng.integers(low, high, endpoint=True))

    def text(self, least=1, most=24):
        letters = self.rng.integers(len(PRINTABLE), size=self.integer(least, most))
        return "".join(PRINTABLE[i] for i in letters)

    def names(self, count):
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.text()] = None
        return list(found)

    def value(self):
        reach = (3, 1000, 2**31, LARGEST)[self.integer(0, 3)]
        return self.integer(-reach, reach)

    def choices(self):
        return tuple(self.names(self.integer(1, 5))) if self.rng.random() < 0.3 else ()

    def knob(self, name):
        choices = self.choices()
        if choices:
            return name, "choice", 0, choices
        return name, UNITS[self.integer(0, 7)], self.integer(0, 18), ()

    def knob_value(self, choices):
        return self.integer(0, len(choices) - 1) if choices else self.value()

    def table(self, most_rows=12):
        knobs = self.names(self.integer(1, 6))
        fixed = self.integer(0, len(knobs) - 1)
        design = []
        for name in knobs[:fixed]:
            name, unit, decimals, choices = self.knob(name)
            design.append(FixedKnob(name, unit, decimals, self.knob_value(choices), choices))
        settings = [Setting(*self.knob(name)) for name in knobs[fixed:]]
        predictions = [
            Prediction(
                name, UNITS[self.integer(0, 7)], self.integer(0, 18),
                ("min", "max")[self.integer(0, 1)], EVIDENCE[self.integer(0, 3)],
                self.integer(0, LARGEST) if self.rng.random() < 0.1 else self.integer(0, 20),
            )
            for name in self.names(self.integer(1, 4))
        ]  # fmt: skip
        rows = [
            Row(
                tuple(self.knob_value(s.choices) for s in settings),
                tuple(self.value() for _ in predictions),
            )
            for _ in range(self.integer(1, most_rows))
        ]
        parts = {
            "study": self.text(0),
            "run_identity": self.text(0),
            "valid_for": Validity(self.text(0), self.text(0), self.text(0), self.text(0)),
            "depends_on": {name: self.text(0) for name in sorted(self.names(self.integer(0, 4)))},
            "design": tuple(design),
            "settings": tuple(settings),
            "kept_limits": tuple(
                KeptLimit(name, "s", self.integer(0, 18), ("min", "max")[self.integer(0, 1)],
                          self.value())
                for name in self.names(self.integer(0, 2))
            ),
            "exit_predictor": self.exits(),
            "operating_points": self.points(),
        }  # fmt: skip
        names = [p.name for p in predictions]
        chosen = [names[self.integer(0, len(names) - 1)] for _ in range(2)]
        return in_order(parts, predictions, rows, *chosen)

    def exits(self):
        if self.rng.random() < 0.6:
            return None
        shape = (self.integer(1, 5), self.integer(1, 4))
        entropies = self.rng.integers(2**32, size=shape).tolist()
        return ExitPredictor(
            self.integer(1, 999), self.integer(1, 2**32 - 1), tuple(map(tuple, entropies))
        )

    def points(self):
        if self.rng.random() < 0.6:
            return ()
        count = self.integer(1, 6)
        volts = np.unique(self.rng.integers(1, 2**31, size=count)).tolist()
        hertz = np.unique(self.rng.integers(1, LARGEST, size=count)).tolist()
        return tuple(map(OperatingPoint, volts, hertz))


@pytest.fixture(scope="session")
def draw():
    """Makes a source of random tables from a seed."""
    return Draw


@pytest.fixture(scope="session")
def build():
    """Sorts rows and finds the default, so that a test need not."""
    return in_order


@pytest.fixture(scope="session")
def small_table():
    """Four voltages: cheap and slow, or dear and fast; the accuracy hardly moves."""
    predictions = (
        Prediction("energy", "J", 12, "min", "unverified", 100),
        Prediction("latency", "s", 9, "min", "closed form", 50),
        Prediction("accuracy", "1", 6, "max", "measured", 0),
    )
    rows = (
        Row((500_000, 0), (1_000, 4_000, 900_000)),
        Row((600_000, 1), (1_500, 3_000, 910_000)),
        Row((700_000, 0), (2_000, 2_000, 905_000)),
        Row((800_000, 1), (2_050, 1_000, 890_000)),
    )
    parts = {
        "study": "small",
        "run_identity": "0" * 64,
        "valid_for": Validity("board-a", "ab" * 32, "sentiment", "bandwidth=good"),
        "depends_on": {"table": "cd" * 32},
        "design": (FixedKnob("cell", "choice", 0, 1, ("sram", "rram")),),
        "settings": (Setting("vdd", "V", 6), Setting("mode", "choice", 0, ("eco", "full"))),
        "kept_limits": (KeptLimit("latency", "s", 9, "max", 5_000),),
        "exit_predictor": ExitPredictor(1, 10_000, ((650_000, 600_000), (640_000, 0))),
        "operating_points": (
            OperatingPoint(500_000, 400_000_000),
            OperatingPoint(800_000, 1_000_000_000),
        ),
    }
    return in_order(parts, predictions, rows, "energy", "latency")


ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent / "drivers"
STRICT = ["-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-O2"]
C99 = ["-std=c99", "-D_POSIX_C_SOURCE=199309L"]
COMPILERS = {
    "gcc": ["gcc", *C99, *STRICT],
    "clang": ["clang", *C99, *STRICT],
    "g++": ["g++", "-x", "c++", "-std=c++11", *STRICT],
    "clang++": ["clang++", "-x", "c++", "-std=c++11", *STRICT],
}


@dataclass(frozen=True)
class Device:
    """A compiled reader that answers a stream of tables; see drivers/driver.c."""

    path: Path

    def __call__(self, frames, *arguments):
        stream = b"".join(struct.pack("<I", len(f)) + f for f in frames)
        ran = subprocess.run(
            [self.path, *map(str, arguments)],
            input=stream,
            capture_output=True,
            check=True,
            timeout=280,
        )
        assert ran.stderr == b""
        return ran.stdout


def compiled(name, folder, tool):
    """A reader by the name of its compiler."""
    path = folder / name
    if name == "rustc":
        command = ["rustc", "--edition", "2021", "-O", "-D", "warnings", "-A", "dead_code"]
        source = "driver.rs"
    else:
        command, source = [*COMPILERS[name], "-I", str(folder)], "driver.c"
    tool(command[0])
    if not path.exists():
        for file in (*(ROOT / "dse" / "lut").glob("reader.*"), *HERE.glob("driver.*")):
            shutil.copy(file, folder)
        ran = subprocess.run([*command, str(folder / source), "-o", str(path)],
                             capture_output=True, text=True, check=False)  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
    return Device(path)


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("readers")


@pytest.fixture(scope="session")
def strict_c(tool):
    """The command of a C or C++ compiler with every warning an error."""

    def command(name):
        return [tool(name), *COMPILERS[name][1:]]

    return command


@pytest.fixture(
    params=["gcc", "clang", "g++", pytest.param("clang++", marks=pytest.mark.slow), "rustc"]
)
def device(request, build_folder, tool):
    """Each compiled reader in turn."""
    return compiled(request.param, build_folder, tool)


@pytest.fixture(scope="session")
def all_devices(build_folder, tool):
    """Every compiled reader, by the name of its compiler."""
    return {name: compiled(name, build_folder, tool) for name in (*COMPILERS, "rustc")}


@pytest.fixture(scope="session")
def gcc(build_folder, tool):
    return compiled("gcc", build_folder, tool)


@pytest.fixture(scope="session")
def rust(build_folder, tool):
    return compiled("rustc", build_folder, tool)


@pytest.fixture(scope="session")
def random_tables():
    """Some tables of every shape, made once."""
    source = Draw(0)
    return [source.table() for _ in range(250)]


@pytest.fixture(scope="session")
def table_of_4_kib(draw):
    """The size of one flash page: 66 rows, and a fact that fills it up."""
    source = draw(4)
    predictions = [
        Prediction("energy", "J", 12, "min", "unverified", 5),
        Prediction("latency", "s", 9, "min", "closed form"),
        Prediction("accuracy", "1", 6, "max", "measured"),
    ]
    rows = [
        Row((source.integer(500, 800) * 1000, source.integer(0, 690_000)),
            tuple(source.integer(1, 10**6) for _ in predictions))
        for _ in range(66)
    ]  # fmt: skip

    def filled(fact):
        parts = {
            "study": "page",
            "run_identity": "0" * 64,
            "valid_for": Validity("board"),
            "depends_on": {"fill": fact[:100], "full": fact[100:]},
            "design": (),
            "settings": (Setting("vdd", "V", 6), Setting("exit_threshold", "nat", 6)),
            "kept_limits": (),
        }
        return in_order(parts, predictions, rows, "energy", "latency")

    missing = 4096 - len(pack(filled("")))
    table = filled("x" * missing)
    assert len(pack(table)) == 4096
    return table
