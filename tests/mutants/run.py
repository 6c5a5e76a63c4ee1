"""Changes the source one place at a time and asks whether a test notices: `make mutants`.

Run: python tests/mutants/run.py [MODULE ...]

Cosmic Ray makes the mutants of each module of modules.toml. A seeded sample of them is tried, each
in a copy of the tree and against the module's own tests; annotations are left out, which change
nothing when a program runs. A mutant that no test notices is listed in results.json. It is wrong
unless accepted.toml says why it is right to survive; then the command fails.

A process that has loaded the libraries is forked for each mutant, so that a mutant costs its tests
and no imports.
"""

import ast
import contextlib
import difflib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results.json"
PATIENCE = 5.0
"""How many times as long as without a mutant the tests may take, at most."""
LEAST_SECONDS = 20.0
LIBRARIES = (
    "hypothesis.extra.numpy", "matplotlib", "moocore", "numpy", "optuna", "pydantic", "pymoo",
    "pymoo.algorithms.moo.nsga2", "pymoo.algorithms.moo.nsga3", "rich", "ruamel.yaml", "scipy",
    "scipy.stats", "sqlite3", "typer", "typer.testing",
)  # fmt: skip
OPTIONS = ("-x", "-q", "--no-header", "-p", "no:cacheprovider",
           "-W", "ignore::pytest.PytestAssertRewriteWarning")  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A changed source.

    Attributes:
        operator: Who changed it.
        line: Where the first changed line was.
        before: The lines that are gone, stripped and joined.
        after: What came instead.
        source: Of the whole module.
    """

    operator: str
    line: int
    before: str
    after: str
    source: str


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations and type aliases begin and end: (line, column), lines from 1."""
    spans: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            spans += [node.returns] if node.returns else []
        elif isinstance(node, ast.arg):
            spans += [node.annotation] if node.annotation else []
        elif isinstance(node, ast.AnnAssign):
            spans.append(node.annotation)
            if ast.unparse(node.annotation) == "TypeAlias" and node.value:
                spans.append(node.value)
    return [
        ((n.lineno, n.col_offset), (n.end_lineno or n.lineno, n.end_col_offset or n.col_offset))
        for n in spans
    ]


def specifications(path: Path) -> list[MutationSpec]:
    """Every mutation of a module outside its annotations, in a fixed order."""
    spans = annotations(path.read_text(encoding="utf-8"))
    with use_db(":memory:") as found:
        init([path], found, {})
        every = [mutation for item in found.work_items for mutation in item.mutations]
    outside = [
        m
        for m in every
        if not any(a <= tuple(m.start_pos) and tuple(m.end_pos) <= b for a, b in spans)
    ]
    return sorted(outside, key=lambda m: (m.operator_name, m.occurrence))


def mutant(source: str, how: MutationSpec) -> Mutant | None:
    """The mutant, or None where the change changes no program or leaves none."""
    operator = get_operator(how.operator_name)(**how.operator_args)
    try:
        changed = mutate_code(source, operator, how.occurrence)
        if changed is None or ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source)):
            return None
    except SyntaxError:  # the star before arguments by name, taken for a product
        return None
    except AttributeError:  # Cosmic Ray has no other name for an exception with a dot in its own
        return None
    one, two = source.splitlines(), changed.splitlines()
    blocks = difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes()
    _, first, end, other_first, other_end = next(b for b in blocks if b[0] != "equal")
    gone, came = (" ".join(map(str.strip, part))
                  for part in (one[first:end], two[other_first:other_end]))  # fmt: skip
    return Mutant(how.operator_name.partition("/")[2], first + 1, gone, came, changed)


def sample(path: Path, most: int, seed: int) -> tuple[list[Mutant], int]:
    """Distinct mutants of a module, drawn with the seed, in the order of lines; and of how many."""
    source = path.read_text(encoding="utf-8")
    distinct: dict[str, Mutant] = {}
    for how in specifications(path):
        made = mutant(source, how)
        if made is not None:
            distinct.setdefault(made.source, made)
    every = list(distinct.values())
    drawn = random.Random(f"{seed} {path.name}").sample(every, min(most, len(every)))
    return sorted(drawn, key=lambda m: (m.line, m.operator, m.after)), len(every)


def copy_of_tree(folder: Path) -> None:
    """Every file that git knows or would, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def tested(folder: Path, tests: list[str], seconds: float) -> tuple[str, float]:
    """What became of the tests in a forked process (killed, survived, timeout), and how long."""
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        _run_tests(folder, tests)
    try:
        while time.monotonic() - began < seconds:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return "killed" if status else "survived", time.monotonic() - began
            time.sleep(0.02)
        return "timeout", seconds
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # and what the tests started, whoever ended first
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _run_tests(folder: Path, tests: list[str]) -> None:
    """In the forked process: pytest on the copy; never returns."""
    code = 70
    try:
        with Path(os.devnull).open("w") as nowhere:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        import pytest

        code = int(pytest.main([*OPTIONS, *tests]))
    finally:
        os._exit(code)


def preload() -> None:
    """Load what the tests load and no mutant changes, once."""
    os.environ |= {"CI": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    sys.dont_write_bytecode = True
    import importlib

    import pytest  # noqa: F401

    for library in LIBRARIES:
        importlib.import_module(library)
    from hypothesis import Phase, settings

    # A mutant is killed by its first failure: a smaller one would only take time.
    found = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", settings.get_profile("ci"), phases=found)
    settings.load_profile("mutants")
    ours = [name for name in sys.modules if name.partition(".")[0] in ("dse", "studies")]
    assert not ours, f"loaded before it was changed: {ours}"


def say(what: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def tried(
    folder: Path, module: str, tests: list[str], rules: dict[str, object]
) -> dict[str, object]:
    """The module's line of results.json."""
    path = folder / module
    original = path.read_text(encoding="utf-8")
    mutants, there = sample(path, int(str(rules["mutants"])), int(str(rules["seed"])))
    outcome, alone = tested(folder, tests, 600.0)
    if outcome != "survived":
        raise SystemExit(f"{module}: its tests fail without a mutant ({outcome}): {tests}")
    limit = max(LEAST_SECONDS, PATIENCE * alone)
    survivors, made_of = [], Counter[str]()
    for made in mutants:
        path.write_text(made.source, encoding="utf-8")
        outcome, _ = tested(folder, tests, limit)
        made_of[outcome] += 1
        if outcome == "survived":
            survivors.append(made)
            say(f"  {module}:{made.line} {made.operator}\n  - {made.before}\n  + {made.after}")
    path.write_text(original, encoding="utf-8")
    killed = len(mutants) - len(survivors)
    say(f"{module}: {killed} of {len(mutants)} killed, of {there} there are; {dict(made_of)}")
    listed = [
        {"line": m.line, "operator": m.operator, "before": m.before, "after": m.after,
         "reason": reason_of(module, m)}
        for m in survivors
    ]  # fmt: skip
    return {"tests": tests, "mutants_there_are": there, "tried": len(mutants), "killed": killed,
            "survivors": listed}  # fmt: skip


def reason_of(module: str, made: Mutant) -> str:
    """Why a mutant may survive; empty where no reason is given."""
    accepted = tomllib.loads((HERE / "accepted.toml").read_text(encoding="utf-8"))
    for entry in accepted.get(module, ()):
        if (entry["before"], entry["after"]) == (made.before, made.after):
            return str(entry["reason"])
    return ""


def main(chosen: list[str]) -> int:
    """Try the chosen modules, or all; others keep their lines. 1 where a survivor has no reason."""
    rules = tomllib.loads((HERE / "modules.toml").read_text(encoding="utf-8"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    preload()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    modules = results.get("modules", {})
    for module in chosen or rules["tests"]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as folder:
            copy_of_tree(Path(folder))
            found = tried(Path(folder), module, rules["tests"][module], rules)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        modules[module] = {**found, "cpu_minutes": round(spent / 60, 1)}
        content = {
            "command": "make mutants", "seed": rules["seed"],
            "modules": {m: modules[m] for m in rules["tests"] if m in modules},
        }  # fmt: skip
        RESULTS.write_text(
            json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    unexplained = [s for m in modules.values() for s in m["survivors"] if not s["reason"]]
    say(f"{len(unexplained)} survivors without a reason")
    return bool(unexplained)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
