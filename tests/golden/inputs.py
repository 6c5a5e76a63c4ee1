"""The files that the commands read: study files, made up sentences and measurements, damaged runs.

Nothing of the project is used for them, so that they are the same whatever becomes of it.
"""

import csv
import json
import random
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOOD = ("bright", "warm", "clever", "moving", "honest", "fresh", "gentle", "superb")
BAD = ("dull", "cold", "clumsy", "boring", "false", "stale", "crude", "awful")
THINGS = ("film", "story", "cast", "plot", "score", "ending", "script", "scene")
SEEMS = ("seems", "looks", "feels")
SPLITS = {"train": 600, "validation": 150, "test": 150}
TEXTS = {
    "points.csv": "vdd_V,f_max_MHz\n0.5,400\n0.6,500\n0.8,700\n",
    "exits.csv": "0,0.5,0.4,0.3\n0.01,0.4,0.3,0.2\n0.02,0.3,0.3,0.1\n",
    "entropies.txt": "0.6,0.5,0.2\n0.1,0.1,0.1\n0.5,0.29,0.1\n0.65,0.6,0.55\n",
    "designs.csv": "split_layer,cpu_frequency [MHz],tpu_mode,cloud_gpu\n"
    "3,600,off,on\n5,1200,off,on\n5,1300,off,on\n12,1800,off,off\n",
    "unread.yaml": "study: [\n",
    "empty.yaml": "",
}
HEADER = (
    "network", "split_layer", "cpu_freq_mhz", "tpu_mode", "gpu", "tensor_kb", "latency_edge_ms",
    "latency_transfer_ms", "latency_cloud_ms", "latency_total_ms", "energy_edge_j",
    "energy_cloud_j", "energy_total_j", "accuracy", "repeat",
)  # fmt: skip


def write_inputs(folder: Path) -> None:
    """Write everything that is there before the first command."""
    for path in sorted(HERE.glob("*.yaml")):
        shutil.copy(path, folder)
    good = (HERE / "dynasplit.yaml").read_text(encoding="utf-8")
    wrong = good.replace("unit: MHz", "unit: mA").replace("seed: 7", "sead: 7")
    for name, text in {**TEXTS, "broken.yaml": wrong}.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "words").mkdir()
    rows = sentences(sum(SPLITS.values()))
    for name, count in SPLITS.items():
        _write_csv(folder / "words" / f"{name}.csv", ("sentence", "label"), rows[:count])
        del rows[:count]
    _write_csv(folder / "measured.csv", HEADER, measurements())


def sentences(count: int) -> list[tuple[str, int]]:
    """Distinct sentences, of which the first adjective tells the class in about 22 of 25."""
    rng = random.Random(20)
    found: dict[str, int] = {}
    while len(found) < count:
        label = rng.randrange(2)
        first, second = rng.choice((BAD, GOOD)[label]), rng.choice(GOOD + BAD)
        one, other, seems = rng.choice(THINGS), rng.choice(THINGS), rng.choice(SEEMS)
        text = f"the {one} is {first} and the {other} {seems} {second}"
        if text not in found:
            found[text] = label if rng.random() < 0.88 else 1 - label
    return list(found.items())


def measurements() -> list[Sequence[object]]:
    """Each cut of a network of six layers at three clocks, twice, with 1 % noise on every part."""
    rng = random.Random(5)
    rows: list[Sequence[object]] = []
    for repeat in range(2):
        for cut in range(7):
            for clock in (600, 1200, 1800):
                for gpu in (True, False) if cut < 6 else (False,):
                    rows.append(_measured(rng, cut, clock, gpu, repeat))
    return rows


def _measured(rng: random.Random, cut: int, clock: int, gpu: bool, repeat: int) -> Sequence[object]:
    edge = cut * (2.0 + 40_000 / clock) * rng.gauss(1, 0.01)
    transfer = (1.5 + 0.4 * (cut > 0)) * rng.gauss(1, 0.01) if cut < 6 else 0.0
    cloud = (6 - cut) * (2.0 if gpu else 9.0) * rng.gauss(1, 0.01)
    waiting = 2.7 * (transfer + cloud) / 1000
    energies = (edge * (2.5 + clock / 1000) / 1000 + waiting, cloud * (0.3 if gpu else 0.12))
    return (
        "minilm-l6", cut, clock, "off", gpu, 192.0 if 0 < cut < 6 else 0.5, edge, transfer, cloud,
        edge + transfer + cloud, *energies, sum(energies), 0.9, repeat,
    )  # fmt: skip


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def prepare(what: str, folder: Path) -> None:
    """Make what some commands find damaged; `what` as a `prepare` line of commands.txt has it."""
    {"copies": _damaged_runs, "damaged.bin": _damaged_table}[what](folder)


def _damaged_runs(folder: Path) -> None:
    """A run with an edited study, one with a trial changed, and one of a later version."""
    run = folder / "random"
    for name in ("edited", "damaged"):
        shutil.copytree(run, folder / name)
    resolved = folder / "edited" / "study.resolved.yaml"
    resolved.write_text(f"{resolved.read_text(encoding='utf-8')}# edited\n", encoding="utf-8")
    with closing(sqlite3.connect(folder / "damaged" / "run.sqlite")) as database:
        database.execute("UPDATE trials SET metrics = replace(metrics, '1', '2') WHERE number = 20")
        database.commit()
    (folder / "future").mkdir()
    (folder / "future" / "manifest.json").write_text(json.dumps({"schema": 99}), encoding="utf-8")


def _damaged_table(folder: Path) -> None:
    content = bytearray((folder / "dynasplit" / "tables" / "lut.bin").read_bytes())
    content[200] ^= 1
    (folder / "damaged.bin").write_bytes(content)
