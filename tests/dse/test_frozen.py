"""Values are frozen: a class of fields that is not says that it is mutable on purpose."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dse", "hw_models", "search_spaces", "studies")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_public_dataclass_is_frozen_or_mutable_on_purpose(package):
    found, wrong = 0, []
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
                continue
            how = " ".join(map(ast.unparse, node.decorator_list))
            if "dataclass" in how:
                found += 1
                said = (ast.get_docstring(node) or "").lower()
                if "frozen=True" not in how and "mutable on purpose" not in said:
                    wrong.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert wrong == []
    assert found > 0 or package == "search_spaces"
