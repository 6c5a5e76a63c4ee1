"""Notebooks take from this project what `import dse` and `import hw_models` offer, no module."""

import ast
from pathlib import Path

import nbformat
import pytest

from dse.core.installed import PROJECT

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def imported(source):
    """Modules that a cell imports."""
    plain = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
    for node in ast.walk(ast.parse(plain)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_what_is_deeper_is_seen():
    cell = "%matplotlib inline\nimport dse.lut\ndef late():\n    from dse.plots import Stack\n"
    assert list(imported(cell)) == ["dse.lut", "dse.plots"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_imports_the_faces_alone(name):
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    found = {m for cell in cells if cell.cell_type == "code" for m in imported(cell.source)}
    ours = {module for module in found if module.partition(".")[0] in PROJECT}
    assert ours <= {"dse", "hw_models"}
    assert "dse" in ours


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_starts_no_command_of_ours(name):
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert "studies.command" not in code
    assert "sys.executable" not in code
