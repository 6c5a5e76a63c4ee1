"""The import contracts of pyproject.toml: what is planted behind a fence is found."""

import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract

ROOT = Path(__file__).parents[2]
PACKAGES = ("dse", "search_spaces", "hw_models", "studies")
HEAVY = (
    "torch", "transformers", "ray", "optuna", "pymoo", "botorch", "gpytorch", "plotly",
    "matplotlib", "sklearn",
)  # fmt: skip
FLOORS = (
    {"core"},
    {"pareto", "workers"},
    {"runs", "searchers"},
    {"results", "search", "testing"},
    {"lut", "plots", "study", "accuracy"},
    {"online"},
    {"api", "cli"},
)  # from the ground up; docs/design.md draws them


@pytest.fixture(scope="module")
def whole():
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def contract(name):
    read = read_configuration(str(ROOT / "pyproject.toml"))
    options = next(o for o in read["contracts_options"] if o["name"] == name)
    kind = {"forbidden": ForbiddenContract, "layers": LayersContract}[options["type"]]
    return kind(name, read["session_options"], options)


def plant(graph, importer, imported):
    if imported not in graph.modules:
        graph.add_module(imported, is_squashed=True)
    graph.add_import(
        importer=importer, imported=imported, line_number=1, line_contents=f"import {imported}"
    )


def reported(check):
    chains = [chain for found in check.metadata["invalid_chains"] for chain in found["chains"]]
    return {(chain[0]["importer"], chain[-1]["imported"]) for chain in chains}


def matches(expression, importer, imported):
    of, to = expression.split(" -> ")
    return to == imported and re.fullmatch(of.replace(".", r"\.").replace("*", "[^.]+"), importer)


@pytest.mark.parametrize(
    ("name", "sources", "heavy"),
    [
        ("Heavy libraries stay in their homes", ("dse", "search_spaces", "studies"), HEAVY),
        (
            "Hardware models know nothing about search, and need NumPy alone",
            ("hw_models",),
            (*HEAVY, "scipy", "pandas", "dse.core.space", "search_spaces"),
        ),
    ],
)
def test_a_library_planted_in_any_module_but_its_homes_breaks_the_contract(
    whole, name, sources, heavy
):
    fence, graph = contract(name), deepcopy(whole)
    modules = [m for m in whole.modules if m.partition(".")[0] in sources]
    homes = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    allowed = next(o for o in homes if o["name"] == name)["ignore_imports"]
    planted = {
        (module, library)
        for module in modules
        for library in heavy
        if not any(matches(expression, module, library) for expression in allowed)
    }
    assert len(planted) > 0.8 * len(modules) * len(heavy)
    for module, library in planted:
        plant(graph, module, library)
    found = reported(fence.check(graph, verbose=False))
    missing = planted - found
    # Where chains may be longer, one chain speaks for all that start at its first module.
    assert {importer for importer, _ in missing} <= {importer for importer, _ in found}
    assert not missing or sources == ("hw_models",)


def test_an_arrow_from_any_floor_to_a_higher_one_or_across_breaks_the_contract(whole):
    fence = contract("Inside the engine, arrows point down")
    rooms = {room: floor for floor, names in enumerate(FLOORS) for room in names}
    assert {f"dse.{room}" for room in rooms} == whole.find_children("dse") - {"dse.__main__"}
    assert fence.check(deepcopy(whole), verbose=False).kept
    for low, floor in rooms.items():
        for high, above in rooms.items():
            if low == high or above < floor:
                continue
            graph = deepcopy(whole)
            plant(graph, f"dse.{low}", f"dse.{high}")
            assert not fence.check(graph, verbose=False).kept, f"{low} -> {high}"


def test_search_spaces_may_use_no_room_but_the_core(whole):
    fence = contract("Search spaces stand on the core alone")
    for room in whole.find_children("dse") - {"dse.core", "dse.__main__"}:
        graph = deepcopy(whole)
        plant(graph, "search_spaces.edgebert", room)
        assert not fence.check(graph, verbose=False).kept, room


def test_a_library_planted_in_a_file_is_found_by_the_command_that_make_check_runs(tmp_path):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "dse" / "search" / "sequential.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("\nimport ", "\nimport torch\nimport ", 1), encoding="utf-8")
    assert "\nimport torch\n" in path.read_text(encoding="utf-8")
    program = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"  # noqa: E501
    ran = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 1, ran.stdout
    assert "dse.search.sequential -> torch" in ran.stdout
