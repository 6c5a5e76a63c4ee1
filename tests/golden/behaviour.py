"""Records what `dse` does, and compares with what it did: a golden of behaviour.

    python tests/golden/behaviour.py record --out tests/golden/behaviour.json
    python tests/golden/behaviour.py compare

`record` goes through the commands of `commands.txt` in an empty folder with an empty cache: a
seeded run of each system and searcher, tables in every form, good and bad calls. Nothing of the
project is imported, only its command line is used, so that modules may move. `compare` records
anew, names each key that differs with both values, and ends with 1 if there is one. What is taken
out before the comparison is listed in `normal.py`.

Accuracies come from networks that are trained here: the same machine gives the same bits, another
processor need not. A difference in runs of edgebert, appealnet and joint alone may be one of these.
"""

import argparse
import json
import re
import shlex
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from driver import Dse
from inputs import prepare, write_inputs
from normal import (
    LONG,
    events_of,
    is_digest,
    manifest_of,
    numbered,
    places_of,
    plain_facts,
    sha256,
    table_of,
    text_of,
)

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "behaviour.json"
COMMANDS = HERE / "commands.txt"
THERE = {".png", ".html", ".parquet", ".npz"}
"""Endings of files of which it is only told that they are there."""
FORMS = {".bin", ".cbor", ".h", ".rs"}
LOOKUP = b'{"default"'
"""How a lookup table in JSON begins, wherever it lies."""
INNER = {"run.sqlite", "run.lock", "measurements.npz"}
MOST_LISTED = 40


def main() -> int:
    """Record or compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["record", "compare"])
    parser.add_argument("--out", type=Path, default=GOLDEN, help="the golden to write or to meet")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the source to run")
    parser.add_argument("--module", default="studies.command", help="what python -m runs")
    parser.add_argument("--keep", type=Path, help="folder for the texts behind the digests")
    parser.add_argument("--fresh", action="store_true", help="a new interpreter for each command")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="golden") as name:
        folder = Path(name).resolve() / "work"
        folder.mkdir()
        root = given.root.resolve()
        write_inputs(folder)
        with Dse(folder, root, given.module, fresh=given.fresh) as dse:
            found = Recorder(dse, root, given.keep).record()
    if given.what == "compare":
        return compare(json.loads(given.out.read_text(encoding="utf-8")), found)
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    given.out.write_text(text, encoding="utf-8")
    return 0


class Recorder:
    """Goes through all commands, then through all that they have left.

    Args:
        dse: The command line, in a folder with the inputs.
        root: Of the source.
        keep: Folder that takes the texts behind the digests; None: nowhere.
    """

    def __init__(self, dse: Dse, root: Path, keep: Path | None) -> None:
        self._dse = dse
        self._folder = dse.folder
        self._places = places_of(dse.folder.parent, root)
        self._keep = keep
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)

    def record(self) -> dict[str, dict[str, Any]]:
        """Everything, by group and name."""
        inputs = set(self._folder.rglob("*"))
        commands = dict(self._commands())
        runs = sorted(path.parent for path in self._folder.glob("*/run.sqlite"))
        return {
            "commands": commands,
            "runs": {run.name: self._run(run) for run in runs if run.name != "damaged"},
            "files": dict(self._files(inputs)),
        }

    def _commands(self) -> Iterator[tuple[str, dict[str, object]]]:
        seen: set[str] = set()
        for line in COMMANDS.read_text(encoding="utf-8").splitlines():
            name = line.partition("#")[0].strip()
            if name.startswith("prepare "):
                prepare(name.removeprefix("prepare "), self._folder)
            elif name:
                loose, name = name.startswith("loose "), name.removeprefix("loose ")
                key = f"dse {name}"
                while key in seen:
                    key += " (again)"
                seen.add(key)
                yield key, self._command(key, name, loose=loose)

    def _command(self, key: str, name: str, *, loose: bool) -> dict[str, object]:
        archive = self._first_archive() if "{archive}" in name else ""
        began = time.monotonic()
        ended = self._dse([part.replace("{archive}", archive) for part in shlex.split(name)])
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {key}\n")
        found: dict[str, object] = {"exit": ended.code}
        for stream, said in (("out", ended.out), ("err", ended.err)):
            plain = text_of(said, self._places)
            found[stream] = _first_line(plain)
            if not loose and plain:
                found[f"{stream}_sha256"] = self._digest(f"{key} {stream}", plain)
        return found

    def _first_archive(self) -> str:
        text = (self._folder / "edgebert" / "trials.csv").read_text(encoding="utf-8")
        found = LONG.search(text)
        return found[0] if found else "none"

    def _digest(self, key: str, content: str | bytes) -> str:
        if self._keep is not None:
            raw = content.encode() if isinstance(content, str) else content
            (self._keep / re.sub(r"[^\w.+-]+", "_", key)[:200]).write_bytes(raw)
        return sha256(content)

    def _run(self, run: Path) -> dict[str, object]:
        """What a run has found and how it ended, its trials and its front."""
        name = run.name
        listed = self._dse(["trials", "list", name, "--format", "csv"]).out
        trials, archives = numbered(listed)
        front = json.loads(numbered(self._dse(["front", name, "--format", "json"]).out)[0])
        manifest = manifest_of((run / "manifest.json").read_text(encoding="utf-8"))
        ends = ("state", "why", "trials", "feasible", "failed", "stopped_early", "real_runs_made",
                "real_runs_reused", "repeats_answered_from_memory", "reference")  # fmt: skip
        numbers = [row["trial"] for row in front["rows"]]
        shown = " ".join(map(str, numbers[:MOST_LISTED]))
        return {
            **{f"manifest {end}": manifest[end] for end in ends if end in manifest},
            "manifest corners": manifest.get("opening", {}).get("corners"),
            "manifest_sha256": self._digest(f"{name} manifest", _pretty(manifest)),
            "columns": trials.partition("\n")[0],
            "first trial": next(iter(trials.splitlines()[1:]), ""),
            "trials_sha256": self._digest(f"{name} trials", trials),
            "table_sha256": self._digest(f"{name} table", _table(run / "run.sqlite")),
            "archives": len(archives),
            "archives_sha256": sha256(" ".join(map(self._content, archives))),
            "front": f"{len(numbers)}: {shown}",
            "front_sha256": self._digest(f"{name} front", _pretty(front)),
        }

    def _content(self, handle: str) -> str:
        """Digest of the values of an archive; its address depends on the code that made it."""
        path = self._folder.parent / "cache" / "archives" / handle[:2] / f"{handle}.safetensors"
        if not path.is_file():
            return "absent"
        content = (
            path.read_bytes()
        )  # eight bytes of length, a header that says what made it, values
        return sha256(content[8 + int.from_bytes(content[:8], "little") :])

    def _files(self, inputs: set[Path]) -> Iterator[tuple[str, str]]:
        """Every file that was made, with the digest of what is compared of it."""
        identities = self._identities()
        for path in sorted(set(self._folder.rglob("*")) - inputs):
            name = path.relative_to(self._folder).as_posix()
            inner = path.name in INNER or ".damaged-" in path.name or name.startswith("words/")
            if path.is_file() and not inner:
                there = path.suffix in THERE
                yield name, "there" if there else self._digest(name, self._file(path, identities))

    def _file(self, path: Path, identities: list[str]) -> str | bytes:
        content = path.read_bytes()
        if path.suffix in FORMS or path.parent.name == "tables" or content.startswith(LOOKUP):
            imported = path.parents[1].name in ("measured", "tails")
            return content if imported else table_of(content, path.name, identities)
        text = content.decode("utf-8")
        if path.name == "manifest.json":
            return _pretty(manifest_of(text))
        if path.name == "events.jsonl":
            return events_of(text)
        return text_of(numbered(text)[0], self._places)

    def _identities(self) -> list[str]:
        """Digits that hang on the code: identities of runs, and the code's own."""
        found = set()
        for path in self._folder.glob("*/manifest.json"):
            manifest = json.loads(path.read_text(encoding="utf-8"))
            facts = manifest.get("facts", {})
            if facts.get("code"):
                found |= {manifest["identity"], facts["code"].rpartition(" ")[2]}
                networks = (k for k in facts if k == "network_sha256" or k.startswith("cloud_"))
                found |= {facts[k] for k in networks if is_digest(facts[k])}
        return sorted(found)


def _first_line(text: str) -> str:
    for line in text.splitlines():
        if line.strip():
            return line.strip()
    return ""


def _pretty(content: object) -> str:
    return json.dumps(plain_facts(content), indent=1, sort_keys=True) + "\n"


def _table(path: Path) -> str:
    """The trials as the database has them, without the seals."""
    columns = "number, codes, design, metrics, failure_kind, failure"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(f"SELECT {columns} FROM trials ORDER BY number").fetchall()
    return numbered("".join(json.dumps(row) + "\n" for row in rows))[0]


def compare(golden: Mapping[str, Any], found: Mapping[str, Any]) -> int:
    """Name what differs; 1 if anything does."""
    before, after = dict(_flat(golden)), dict(_flat(found))
    differing = [k for k in sorted(before.keys() | after.keys()) if before.get(k) != after.get(k)]
    for key in differing:
        sys.stdout.write(f"{key}\n  was {before.get(key)!r}\n  is  {after.get(key)!r}\n")
    sys.stdout.write(f"{len(differing)} of {len(before)} values differ\n")
    return int(bool(differing))


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        name = f"{above} > {key}" if above else key
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        else:
            yield name, value


if __name__ == "__main__":
    sys.exit(main())
