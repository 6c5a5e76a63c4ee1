"""What a run's numbers depend on beside its study: this project's own source, and libraries."""

import importlib.metadata
from pathlib import Path

import pytest

from dse.runs.identity import source_digest, tree_digest, used_libraries
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


@pytest.mark.parametrize(
    ("searcher", "measured", "wanted"),
    [
        ("random", False, {"models": {"numpy"}, "search": {"moocore"}}),
        ("nsga2", False, {"models": {"numpy"}, "search": {"moocore", "pymoo"}}),
        ("tpe", False, {"models": {"numpy"}, "search": {"moocore", "optuna", "scipy"}}),
        ("random", True, {"models": {"numpy", "torch", "transformers"}, "search": {"moocore"}}),
    ],
)
def test_only_libraries_that_a_run_uses_are_in_its_identity(searcher, measured, wanted):
    found = used_libraries(SEARCHERS[searcher].libraries, measured=measured)
    assert found == {
        part: {name: importlib.metadata.version(name) for name in names}
        for part, names in wanted.items()
    }


def test_every_searcher_that_stands_on_a_library_names_it():
    plain = used_libraries((), measured=False)
    for searcher, row in SEARCHERS.items():
        more = used_libraries(row.libraries, measured=False) != plain
        assert more == (searcher not in ("random", "exhaustive")), searcher
