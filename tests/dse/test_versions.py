"""What a run's numbers depend on beside its study: this project's own source, and libraries."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from dse.runs.identity import identified_code, source_digest, tree_digest
from dse.searchers.registry import SEARCHERS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "here"
    for name, text in {
        "dse/__init__.py": "",
        "dse/space.py": "x = 1\n",
        "hw_models/memory.py": "energy = 2\n",
        "hw_models/tables/dram.csv": "1,2\n",
        "hw_models/tables/dram.toml": "a = 1\n",
        "search_spaces/edge.py": "",
        "studies/edge.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hw_models/memory.py", "energy = 3\n"),
        ("hw_models/tables/dram.csv", "1,3\n"),
        ("hw_models/tables/dram.toml", "a = 2\n"),
        ("studies/new.py", ""),
        ("hw_models/memory.py", None),
    ],
)
def test_a_changed_added_or_missing_file_changes_the_digest(name, text, tree):
    before = tree_digest(tree)
    if text is None:
        (tree / name).rename(tree / "hw_models" / "renamed.py")
    else:
        (tree / name).write_text(text, encoding="utf-8")
    assert tree_digest(tree) != before


def test_bytes_do_not_wander_from_one_file_into_the_next(tree):
    before = tree_digest(tree)
    (tree / "dse/__init__.py").write_text("x = 1\n", encoding="utf-8")
    (tree / "dse/space.py").write_text("", encoding="utf-8")
    assert tree_digest(tree) != before


def test_neither_place_nor_compiled_files_nor_pages_count(tree):
    before = tree_digest(tree)
    (tree / "dse/__pycache__").mkdir()
    (tree / "dse/__pycache__/space.cpython-311.pyc").write_bytes(b"1")
    (tree / "dse/README.md").write_text("words", encoding="utf-8")
    (tree / "tests").mkdir()
    (tree / "tests/test_space.py").write_text("", encoding="utf-8")
    assert tree_digest(tree) == before
    assert tree_digest(tree.rename(tree.with_name("there"))) == before


def test_the_source_is_that_of_the_four_packages():
    assert source_digest() == tree_digest(ROOT)


def libraries(searcher, *, measured=False):
    """Versions by layer of a closed-form system, or of a measured one."""
    row = SEARCHERS[searcher]
    system = f"studies.{'edgebert' if measured else 'dynasplit'}.system"
    module = row.path.partition(":")[0]
    return identified_code([system], [module], row.libraries, measured=False)["libraries"]


@pytest.mark.parametrize(
    ("searcher", "search"),
    [
        ("random", {"moocore"}),
        ("nsga2", {"moocore", "pymoo"}),
        ("tpe", {"moocore", "optuna", "scipy"}),
        ("sobol", {"moocore", "scipy"}),
    ],
)
def test_only_libraries_that_a_run_uses_are_in_its_identity(searcher, search):
    found = libraries(searcher)
    assert found["models"].pop("python") == "{}.{}".format(*sys.version_info)
    assert found == {
        part: {name: importlib.metadata.version(name) for name in names}
        for part, names in {"models": {"numpy"}, "search": search}.items()
    }


def test_a_measured_system_names_what_measures():
    found = libraries("random", measured=True)["models"]
    assert {"numpy", "torch", "transformers", "safetensors"} <= found.keys()
    assert not {"pydantic", "rich", "typer", "matplotlib", "plotly"} & found.keys()


def test_every_searcher_that_stands_on_a_library_names_it():
    plain = libraries("random")
    for searcher in SEARCHERS:
        more = libraries(searcher) != plain
        assert more == (searcher not in ("random", "exhaustive")), searcher
