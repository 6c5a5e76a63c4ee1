"""The one table of searchers: what reads it, and that nothing can get past it."""

import inspect
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from dse.cli.environment import parts
from dse.core.errors import DseError, StudyError
from dse.core.extras import EXTRAS
from dse.searchers.registry import SEARCHERS, make_searcher
from dse.study.loader import load_study
from dse.study.plugins import InstalledSystems
from dse.study.schema import Search
from dse.testing.contracts import searched_problem, tiny_space

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def problem():
    return searched_problem(tiny_space(), 2, 1)


@pytest.mark.parametrize("name", SEARCHERS)
def test_all_searchers_are_made_alike(name):
    """And give back the problem and the batch that they were made with."""
    kind = pkgutil.resolve_name(SEARCHERS[name].path)
    parameters = inspect.signature(kind).parameters
    assert list(parameters)[:3] == ["problem", "seed", "batch"]
    optional = list(parameters.values())[2:]
    assert all(p.default is not inspect.Parameter.empty for p in optional)
    asked = problem()
    made = make_searcher(name, asked, seed=3, batch=4)
    assert (type(made), made.problem, made.batch) == (kind, asked, 4)


def test_a_searcher_that_the_table_lacks_cannot_be_asked_for():
    with pytest.raises(DseError, match=r"no searcher 'annealing'; allowed: nsga2, .*botorch$"):
        make_searcher("annealing", problem(), seed=1, batch=10)
    with pytest.raises(DseError, match="did you mean 'grey_box'"):
        make_searcher("greybox", problem(), seed=1, batch=10)
    with pytest.raises(ValidationError, match="nsga2"):
        Search(searcher="annealing")


def test_reading_the_table_imports_no_searcher_and_no_library():
    look = (
        "import sys\nimport dse.searchers.registry\n"
        "print([m for m in sys.modules if m.startswith('dse.') or m == 'numpy'])"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == (
        "['dse.core', 'dse.core.lazy', 'dse.searchers', 'dse.searchers.registry']"
    )


@pytest.mark.parametrize(
    ("given", "meant"), [("nsgaII", "nsga2"), ("NSGA-II", "nsga2"), ("greybox", "grey_box")]
)
def test_a_misspelt_searcher_is_told_the_one_that_is_meant(given, meant):
    path = ROOT / "studies/dynasplit/encoder.yaml"
    with pytest.raises(StudyError) as caught:
        load_study(path, InstalledSystems(), [f"search.searcher={given}"])
    allowed = ", ".join(SEARCHERS)
    assert caught.value.problems == (
        f"--set search.searcher={given}: search.searcher: got '{given}'; allowed: {allowed}; "
        f"did you mean '{meant}'?",
    )


def test_extras_are_those_of_the_distribution():
    extras = PYPROJECT["optional-dependencies"]
    assert {row.extra for row in SEARCHERS.values()} - {None} <= EXTRAS.keys()
    assert set(EXTRAS) == set(extras) - {"dev"}
    for name, extra in EXTRAS.items():
        brought = {text.split(">")[0].split("=")[0].replace("-", "_") for text in extras[name]}
        # gpytorch is what botorch itself stands on.
        assert set(extra.modules) <= brought | {"gpytorch"}


def test_doctor_and_the_documentation_name_every_searcher_and_extra():
    told = " ".join(f"{part.name} {part.purpose}" for part in parts())
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    for name, row in SEARCHERS.items():
        assert name in page
        assert name in told or not row.libraries
    for name in EXTRAS:
        assert f"extra {name}" in told
        assert f"`{name}`" in page
