"""What a value is: equal in every process, other if anything in it is other."""

import enum
import functools
import json
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import dse
import hw_models
from dse.core.composition import modules_of
from dse.core.evaluation import Cached, Chain
from dse.core.fingerprint import described, function_identity
from dse.core.signature import Signature


class Kind(enum.Enum):
    ONE = 1
    TWO = 2


@dataclass(frozen=True)
class Part:
    values: np.ndarray
    kind: Kind = Kind.ONE
    names: frozenset = frozenset({"a", "b"})
    notes: dict = field(default_factory=dict)
    cache: dict = field(default_factory=dict, init=False)


def part(**more):
    return Part(**{"values": np.arange(3.0), "notes": {"b": 1, "a": Path("x/y")}, **more})


def test_equal_values_have_one_content_and_it_is_json():
    one, other = described(part()), described(part(notes={"a": Path("x/y"), "b": 1}))
    assert one == other
    assert one.unreadable == ()
    assert json.loads(json.dumps(one.content)) == one.content
    filled = part()
    filled.cache["remembered"] = 1
    assert described(filled) == one


@pytest.mark.parametrize(
    "other",
    [
        part(values=np.arange(4.0)), part(values=np.arange(3)), part(kind=Kind.TWO),
        part(names=frozenset({"a"})), part(notes={"b": 1.0, "a": Path("x/y")}), part(notes={}),
    ],
)  # fmt: skip
def test_other_values_have_another(other):
    assert described(other).digest != described(part()).digest


def test_what_cannot_be_described_is_listed():
    found = described({"lock": threading.Lock(), "again": [threading.Lock()]})
    assert found.unreadable == ("_thread.lock",)
    assert described(eval("lambda x: x")).unreadable


def loose(text, **names):
    """A function as a notebook's cell has it."""
    space = {"__name__": "__main__", "np": np, **names}
    lines = text.splitlines(keepends=True)
    file = f"<cell {hash(text)}>"
    import linecache

    linecache.cache[file] = (len(text), None, lines, file)
    exec(compile(text, file, "exec"), space)
    return space["energy"]


def test_a_function_of_a_notebook_is_its_source_and_what_it_refers_to():
    text = (
        "def energy(x, scale=2.0):\n    '''Of x.'''\n"
        "    return price(x) * RATE * scale + np.sin(x)\n"
    )

    def price(x):
        return 2 * x

    base = function_identity(loose(text, RATE=3, price=price))
    assert set(base["refers"]) == {"RATE", "np", "price"}
    assert function_identity(loose(text.replace("Of x", "Of it"), RATE=3, price=price)) == base
    for other in (
        loose(text, RATE=4, price=price),
        loose(text.replace("2.0", "2.5"), RATE=3, price=price),
        loose(text.replace("sin", "cos"), RATE=3, price=price),
        loose(text, RATE=np.array([3.0]), price=price),
        loose(text, RATE=3, price=functools.partial(price)),
    ):
        assert function_identity(other) != base


def test_a_closure_counts_by_what_it_closes_over():
    def made(rate):
        def energy(x):
            return rate * x

        return energy

    assert described(made(1)) == described(made(1))
    assert described(made(1)) != described(made(2))


def test_another_process_says_the_same():
    code = (
        "from dse.core.evaluation import InBatches\n"
        "from dse.core.fingerprint import described\n"
        "import numpy as np\n"
        "value = {'b': {'x', 'y', 'z'}, 'a': np.eye(2), 'c': [InBatches, np.sin, 0.1]}\n"
        "print(described(value).digest)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


@dataclass(frozen=True)
class Model:
    parts: tuple = ()
    signature = Signature({"x": "1"}, {"y": "1"}, {"y": "closed form"})

    def __call__(self, columns):
        return {"y": columns["x"]}


def test_the_modules_of_an_evaluator_are_those_of_all_it_is_composed_of():
    assert modules_of(Chain((Cached(Model((Kind.ONE, part))),))) == (
        "dse.core.evaluation",
        __name__,
    )


@pytest.mark.parametrize(
    ("text", "names", "wanted"),
    [
        ("def energy(x):\n    return hw_models.total(x)\n", {"hw_models": hw_models},
         {"hw_models", "hw_models.columns"}),
        ("def energy(x):\n    return dse.online.Request(x)\n", {"dse": dse},
         {"dse", "dse.online", "dse.online.requests"}),
        ("def energy(x):\n    return [total(i) for i in x]\n", {"total": hw_models.total},
         {"hw_models.columns"}),
        ("def energy(x):\n    return Envm(x)\n", {"Envm": hw_models.Envm}, {"hw_models.memory"}),
        ("def energy(x):\n    return np.sin(x)\n", {}, set()),
        ("class Costs:\n    def __call__(self, x):\n        return total(x)\nenergy = Costs()\n",
         {"total": hw_models.total}, {"hw_models.columns"}),
    ],
)  # fmt: skip
def test_a_function_of_a_notebook_has_the_modules_that_it_refers_to(text, names, wanted):
    assert set(modules_of(loose(text, **names))) == wanted


def textwrap_of(x):
    return x


def test_two_lambdas_on_one_line_are_told_apart():
    one, other = (lambda a: a * 2), (lambda a: a * 9)
    assert described(one).content != described(other).content


def test_an_object_of_ones_own_is_described_by_what_it_holds():
    class Held:
        def __init__(self, k):
            self.k = k

        def times(self, x):
            return self.k * x

    assert described(Held(2)) == described(Held(2))
    assert described(Held(2)).content != described(Held(3)).content
    assert not described(Held(2)).unreadable


@pytest.mark.parametrize(
    "value",
    [Fraction(1, 3), re.compile("a+"), np.dtype("f4"), np.random.default_rng(1), np.poly1d([1, 2]),
     SimpleNamespace(a=1), lru_cache(textwrap_of)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_objects_of_libraries_are_described(value):
    assert not described(value).unreadable
    assert described(value) == described(value)


def test_a_dataclass_of_a_script_is_described(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from dataclasses import dataclass\nfrom dse.core.fingerprint import described\n"
        "@dataclass(frozen=True)\nclass Chip:\n    width: int = 3\n"
        "print(described(Chip()).unreadable, described(Chip()) == described(Chip(3)),"
        " described(Chip()).content == described(Chip(4)).content)\n"
    )
    command = [sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["()", "True", "False"]


def test_a_data_file_that_a_function_names_counts_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = function_identity

    def reads():
        return np.loadtxt("points.csv")

    (tmp_path / "points.csv").write_text("1\n")
    before = made(reads)
    assert made(reads) == before
    (tmp_path / "points.csv").write_text("2\n")
    assert made(reads) != before
