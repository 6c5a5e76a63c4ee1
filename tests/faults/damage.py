"""A run's database damaged inside: it reads as it was or is refused, and never reads wrong.

What a failing disk, a bad cable or a stray write leaves: flipped bits, pages that hold zeros,
something random or what belongs elsewhere, a torn header, a missing end. Seeded.
"""

import os
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice, product
from pathlib import Path

from cuts import _DiesAt
from injector import Forked, go, rows_of, study_file

from dse.core.errors import DseError
from dse.results.front import Front
from dse.runs.store import read_run

PAGE = 4096
HEADER = 100
TRIALS, BATCH = 200, 20
RESUME_EVERY = 12
PATIENCE = 120
"""Seconds after which a command that reads or resumes is taken to hang."""
PLACES = ("finished/run.sqlite", "killed/run.sqlite", "killed/run.sqlite-wal")
"""Files that are damaged: of a run that ended, and both of one that died with a log beside it."""
READ = ("same", "refused", "wrong", "crashed")
RESUMED = ("resumed_same", "resume_refused", "resume_wrong", "resume_crashed")


def _flip(data: bytearray, rng: random.Random, bits: int) -> None:
    for _ in range(bits):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random, content: Callable[[int], bytes]) -> None:
    """One page becomes something else; `content` gives it for the page's number."""
    number = rng.randrange(-(-len(data) // PAGE))
    end = min((number + 1) * PAGE, len(data))
    data[number * PAGE : end] = content(number)[: end - number * PAGE].ljust(
        end - number * PAGE, b"\0"
    )


def _other_page(data: bytearray, rng: random.Random, number: int) -> bytes:
    others = [n for n in range(-(-len(data) // PAGE)) if n != number] or [number]
    other = rng.choice(others)
    return bytes(data[other * PAGE : (other + 1) * PAGE])


def _header(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(min(HEADER, len(data)))] = rng.randrange(256)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


KINDS: dict[str, Callable[[bytearray, random.Random], None]] = {
    "1 bit flipped": lambda data, rng: _flip(data, rng, 1),
    "8 bits flipped": lambda data, rng: _flip(data, rng, 8),
    "64 bits flipped": lambda data, rng: _flip(data, rng, 64),
    "a page of zeros": lambda data, rng: _overwrite(data, rng, lambda _: bytes(PAGE)),
    "a random page": lambda data, rng: _overwrite(data, rng, lambda _: rng.randbytes(PAGE)),
    "another page": lambda data, rng: _overwrite(
        data, rng, lambda number: _other_page(data, rng, number)
    ),
    "the header": _header,
    "the end missing": _cut,
}


def damage(count: int, seed: int, root: Path) -> dict[str, object]:
    """Damage the database of a finished and of a killed run, `count` times, a fresh copy each.

    Each copy is read as `dse front` does: the undamaged front, or a `DseError`. Every 12th is
    resumed as well: the trials of the undamaged run, or a `DseError`. Each in a process of its
    own, so that a death or an endless loop is counted and not suffered.
    """
    rng = random.Random(seed)
    load = study_file(root, "damage", f"search.trials={TRIALS}", f"search.batch={BATCH}")
    assert Forked(lambda _: go(root / "finished", load)).end() == 0
    assert Forked(lambda _: go(root / "killed", load, _DiesAt(TRIALS))).end() < 0
    truth, front = rows_of(root / "finished"), _front(root / "finished")
    found: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    bad: list[str] = []
    for number, (kind, place) in enumerate(_drawn(count, rng)):
        copy = _damaged(root, kind, place, rng)
        outcomes = [_outcome(partial(_reads, copy, front), READ)]
        if number % RESUME_EVERY == 0:
            outcomes.append(_outcome(partial(_resumes, copy, load, truth), RESUMED))
        found.update(outcomes)
        kinds[kind].update(outcomes)
        bad += [f"{number}: {kind}, {place}: {o}" for o in outcomes if _is_bad(o)]
        shutil.rmtree(copy)
    counted = {name: found[name] for name in (*READ, *RESUMED)}
    by_kind = {kind: dict(sorted(counts.items())) for kind, counts in kinds.items()}
    return {"damages": count, **counted, "bad": bad, "kinds": by_kind}


def _drawn(count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Kinds and places, each pair as often as any other, in an order of chance."""
    pairs = list(product(KINDS, PLACES))
    rounds = (rng.sample(pairs, len(pairs)) for _ in range(-(-count // len(pairs))))
    return islice(chain.from_iterable(rounds), count)


def _damaged(root: Path, kind: str, place: str, rng: random.Random) -> Path:
    """A copy of a run with one file damaged."""
    run, _, name = place.partition("/")
    copy = root / "copy"
    shutil.copytree(root / run, copy)
    data = bytearray((copy / name).read_bytes())
    KINDS[kind](data, rng)
    (copy / name).write_bytes(data)
    return copy


def _front(folder: Path) -> str:
    """What `dse front --format json` prints."""
    return Front.of_run(read_run(folder)).to_json()


def _reads(folder: Path, front: str) -> bool:
    return _front(folder) == front


def _resumes(folder: Path, load: Callable[[], object], truth: list[tuple[object, ...]]) -> bool:
    go(folder, load)
    return rows_of(folder) == truth


def _outcome(same: Callable[[], bool], names: tuple[str, ...]) -> str:
    """Which of the names (same, refused, wrong, crashed) tells how it went in a child process."""
    child = Forked(lambda _: os._exit(_judged(same)))
    code = child.end()
    child.acknowledged()  # closes the pipe
    return names[code] if 0 <= code < len(names) else names[-1]


def _judged(same: Callable[[], bool]) -> int:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
    try:
        return 0 if same() else 2
    except DseError:
        return 1
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 3


def _is_bad(outcome: str) -> bool:
    return outcome.endswith(("wrong", "crashed"))
