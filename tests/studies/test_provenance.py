"""No constant changes behind a run's back."""

import csv
import shutil
from importlib.resources import files
from pathlib import Path

from hw_models import shipped_names
from studies.provenance import table_facts


def test_any_single_field_of_any_table_changes_its_fact_and_no_other(tmp_path):
    source = Path(str(files("hw_models") / "tables"))
    before = table_facts()
    assert set(before) == {f"table {name}" for name in shipped_names()}
    copy = tmp_path / "tables"
    shutil.copytree(source, copy)
    assert table_facts(copy) == before
    fields = 0
    for name in shipped_names():
        path = copy / f"{name}.csv"
        text = path.read_text(encoding="utf-8")
        rows = list(csv.reader(text.splitlines()))
        for r, row in enumerate(rows[:3]):
            for c in range(len(row)):
                edited = [list(other) for other in rows]
                edited[r][c] += "1"
                path.write_text("\n".join(",".join(cells) for cells in edited), encoding="utf-8")
                after = table_facts(copy)
                assert [key for key in before if after[key] != before[key]] == [f"table {name}"]
                fields += 1
        path.write_text(text, encoding="utf-8")
    assert fields > 150
    assert table_facts(copy) == before
