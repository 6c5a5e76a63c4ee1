"""What code counts: its syntax without layout and words, and the closure of its imports."""

import ast
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.core.source_code import import_closure
from dse.core.syntax import syntax_digest

BASE = '''
"""A module."""
from math import sqrt

LIMIT = 3.0
"""How much."""

class Model:
    """A model."""

    def energy(self, x: float, *, scale=1.5) -> float:
        """Of a design."""
        if x > LIMIT:
            raise ValueError(f"x = {x} is above " "the limit", x)
        y = sqrt(x) * scale  # a comment
        return y + 2 * x - 1
'''

SAME = {
    "a comment": BASE.replace("# a comment", "# another one"),
    "no comment": BASE.replace("  # a comment", ""),
    "a module's docstring": BASE.replace('"""A module."""', '"""Of two lines.\n\nMore."""'),
    "no docstring": BASE.replace('        """Of a design."""\n', ""),
    "a class with nothing but words": BASE + "\nclass Empty:\n    pass\n",
    "an attribute's docstring": BASE.replace("How much", "How many"),
    "an error's text": BASE.replace("is above", "exceeds").replace("the limit", "what is allowed"),
    "an error's values": BASE.replace("x = {x} is above", "{LIMIT} < {x!r}: that is"),
    "an f-string that becomes a string": BASE.replace('f"x = {x} is above " ', '"too much: " '),
    "layout": BASE.replace(
        "y + 2 * x - 1", "(\n            (y + (2 * x))\n            - 1\n        )"
    ),
    "quotes": BASE.replace('f"x = {x} is above "', "f'x = {x} is above '"),
    "numbers": BASE.replace("3.0", "3.00").replace("1.5", "15e-1"),
}

OTHER = {
    "an operator": BASE.replace("x > LIMIT", "x >= LIMIT"),
    "another operator": BASE.replace("2 * x - 1", "2 * x + 1"),
    "a constant": BASE.replace("3.0", "3.1"),
    "a whole number for a float": BASE.replace("3.0", "3"),
    "a default": BASE.replace("scale=1.5", "scale=9"),
    "a name": BASE.replace("sqrt(x)", "sqrt(y)"),
    "an order": BASE.replace("y + 2 * x", "2 * x + y"),
    "an error's type": BASE.replace("ValueError", "TypeError"),
    "an error's other argument": BASE.replace('the limit", x)', 'the limit", LIMIT)'),
    "a keyword": BASE.replace("x: float, *, scale", "x: float, scale"),
    "an import": BASE.replace("from math import sqrt", "from numpy import sqrt"),
    "a text that is no error's": BASE.replace("sqrt(x) * scale", 'len("ab")'),
    "a statement": BASE.replace("        return y", "        y += 1\n        return y"),
}


@pytest.mark.parametrize("name", [n for n in SAME if n != "a class with nothing but words"])
def test_words_and_layout_change_no_digest(name):
    assert SAME[name] != BASE
    assert syntax_digest(SAME[name]) == syntax_digest(BASE)


def test_a_class_without_its_docstring_needs_a_pass_and_is_the_same():
    with_words = BASE + '\nclass Empty:\n    """Nothing."""\n'
    assert syntax_digest(with_words) == syntax_digest(SAME["a class with nothing but words"])


@pytest.mark.parametrize("name", OTHER)
def test_every_other_edit_changes_the_digest(name):
    ast.parse(OTHER[name])
    assert syntax_digest(OTHER[name]) != syntax_digest(BASE)


def test_all_digests_of_other_code_differ():
    assert len({syntax_digest(text) for text in OTHER.values()}) == len(OTHER)


LEAVES = st.one_of(
    st.sampled_from("xyz"), st.integers(0, 9).map(str), st.text("ab", max_size=2).map(repr)
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "<", "and"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
        st.lists(inner, max_size=3).map(lambda parts: f"f({', '.join(parts)})"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, EXPRESSIONS)
def test_two_expressions_have_one_digest_if_and_only_if_their_trees_are_equal(one, other):
    equal = ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    # A bare string does nothing, so an expression is used.
    assert (syntax_digest(f"x = {one}") == syntax_digest(f"x = {other}")) == equal


@given(EXPRESSIONS)
def test_another_layout_of_an_expression_is_the_same(text):
    spread = f"value = (\n    {text}\n)  # words\n"
    assert syntax_digest(spread) == syntax_digest(f"value={text}")
    assert syntax_digest(ast.unparse(ast.parse(spread))) == syntax_digest(spread)


LATE = "try:\n    import scipy.stats\nexcept ImportError:\n    import mine_absent\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A user's package with a bit of everything, importable and not imported."""
    texts = {
        "mine_pkg/__init__.py": "",
        "mine_pkg/system.py": (
            "from typing import TYPE_CHECKING\n"
            "from mine_pkg import models\n"
            "from mine_pkg.units import JOULE\n"
            "import mine_flat\n"
            "if TYPE_CHECKING:\n    from mine_pkg.checked import Checked\n"
            "else:\n    from mine_pkg import unchecked\n"
            "def compose():\n    from mine_pkg.late import late\n    return late\n"
        ),
        "mine_pkg/models.py": "from .deep.inner import value\nimport numpy as np\nimport json\n",
        "mine_pkg/units.py": "JOULE = 1\n",
        "mine_pkg/checked.py": "class Checked: pass\n",
        "mine_pkg/unchecked.py": "",
        "mine_pkg/late.py": LATE,
        "mine_pkg/plots.py": "",
        "mine_pkg/deep/__init__.py": "from ..shared import shared\n",
        "mine_pkg/deep/inner.py": "value = 1\n",
        "mine_pkg/shared.py": "shared = 1\n",
        "mine_pkg/data/grid.csv": "1,2\n",
        "mine_pkg/notes.yaml": "a: 1\n",
        "mine_flat.py": "RATE = 2\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("package")
def test_the_closure_goes_through_functions_and_not_through_type_checking():
    found = import_closure(["mine_pkg.system"])
    wanted = {"", ".system", ".models", ".units", ".unchecked", ".late", ".deep", ".deep.inner"}
    wanted = {f"mine_pkg{name}" for name in wanted} | {"mine_pkg.shared", "mine_flat"}
    assert set(found.sources) == wanted
    assert found.packages == ("numpy", "scipy")
    assert set(found.versions()) == {"numpy", "scipy"}
    assert set(found.data()) == {"mine_pkg/data/grid.csv"}
    assert not {"mine_pkg", "mine_pkg.system"} & sys.modules.keys()


def test_an_edit_changes_the_digest_of_its_module_alone(package):
    before = import_closure(["mine_pkg.system"]).digests()
    (package / "mine_pkg/deep/inner.py").write_text("value = 9\n", encoding="utf-8")
    (package / "mine_pkg/plots.py").write_text("colour = 1\n", encoding="utf-8")
    (package / "mine_pkg/late.py").write_text(f"# words\n{LATE}", encoding="utf-8")
    after = import_closure(["mine_pkg.system"]).digests()
    assert {n for n in before if before[n] != after[n]} == {"mine_pkg.deep.inner"}
    data = import_closure(["mine_pkg.system"]).data()
    (package / "mine_pkg/data/grid.csv").write_text("1,3\n", encoding="utf-8")
    assert import_closure(["mine_pkg.system"]).data() != data


def test_a_file_counts_with_the_modules_and_the_named_data_beside_it(tmp_path, monkeypatch):
    folder = tmp_path / "somewhere"
    folder.mkdir()
    (folder / "loose.py").write_text('import beside\nTABLE = "costs.csv"\n', encoding="utf-8")
    (folder / "beside.py").write_text("RATE = 1\n", encoding="utf-8")
    (folder / "costs.csv").write_text("1\n", encoding="utf-8")
    (folder / "exported.csv").write_text("1\n", encoding="utf-8")
    module = type(sys)("loose_system")
    module.__file__ = str(folder / "loose.py")
    monkeypatch.setitem(sys.modules, "loose_system", module)
    found = import_closure(["loose_system"])
    assert set(found.sources) == {"loose_system", "beside"}
    assert set(found.data()) == {"costs.csv"}


SYSTEMS = tuple(
    f"studies.{name}.system" for name in ("edgebert", "dynasplit", "appealnet", "joint")
)


@pytest.mark.parametrize("system", SYSTEMS)
def test_nothing_that_draws_prints_stores_or_exports_is_in_the_closure_of_a_study(system):
    found = import_closure([system])
    idle = (
        "dse.cli",
        "dse.lut",
        "dse.plots",
        "dse.results",
        "dse.runs",
        "dse.study",
        "dse.workers",
    )
    assert [name for name in found.sources if name.startswith(idle)] == []
    commands = [
        n for n in found.sources if n.endswith("_command") or n.startswith("studies.analyses")
    ]
    assert commands == []
    assert {"studies", system, "hw_models.table", "dse.core.space"} <= set(found.sources)
    assert any(name.startswith("hw_models/tables/") for name in found.data())


def test_a_package_that_loads_names_when_asked_counts_by_the_names_that_are_asked():
    found = set(import_closure(["studies.dynasplit.system"]).sources)
    assert {"hw_models.split", "hw_models.link"} <= found
    assert "hw_models.sram" not in found
    assert "hw_models" not in found


def test_the_closure_of_a_study_is_quick():
    began = time.process_time()
    import_closure(["studies.edgebert.system"]).digests()
    assert time.process_time() - began < 2.0  # 0.3 on a quiet machine
