"""The page of the models names every table with its evidence."""

import re
from pathlib import Path

import pytest

import hw_models
from hw_models.table import shipped, shipped_names

PAGE = (Path(__file__).parents[2] / "docs" / "hw_models.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("name", shipped_names())
def test_the_page_names_every_table_with_its_evidence(name):
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    cells = [cell.strip() for cell in row.split("|")]
    origin = shipped(name).origin
    assert cells[3] == origin.evidence
    assert cells[4] == ("yes" if origin.bounds else "no")


def test_every_exported_name_is_there():
    assert [name for name in hw_models.__all__ if not hasattr(hw_models, name)] == []


def test_the_example_of_a_traced_network_runs(capsys):
    (code,) = (block for block in BLOCKS if "trace(" in block)
    exec(code, {})
    assert capsys.readouterr().out.startswith("MobileNetV2Model by MobileNetV2InvertedResidual 16 ")


def test_the_example_of_a_chip_runs(capsys):
    (code,) = (block for block in BLOCKS if "EarlyExit(" in block)
    names = dict[str, object]()
    exec(code, names)
    assert capsys.readouterr().out.startswith("[0.000")
