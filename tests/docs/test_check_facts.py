"""The pages say what is true, and a wrong path, name, command, key or figure on them is found."""

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def facts():
    """The script `docs/check_facts.py` as a module."""
    sys.path.insert(0, str(ROOT / "docs"))
    yield importlib.import_module("check_facts")
    sys.path.remove(str(ROOT / "docs"))


@pytest.fixture(scope="module")
def says(facts):
    """Findings on a page of a few lines, which is no file."""
    tree = facts.SourceTree(ROOT)

    def says(text, *figures):
        return facts.Page(tree, "docs/planted.md", text, figures).findings()

    return says


def test_the_pages_of_this_checkout_are_true(facts):
    assert facts.check(ROOT) == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("`dse/nowhere.py`", "`dse/py.typed`"),
        ("`dse/nowhere/`", "`dse/core/`"),
        ("`studies/*/nowhere.py`", "`studies/*/system.py`"),
        ("`dse/{core,nowhere}/__init__.py`", "`dse/{core,runs}/__init__.py`"),
        ("`search_spaces/<system>_x.py`", "`search_spaces/<system>.py`"),
        ("`nowhere.json`", "`manifest.json`"),
        ("See tests/faults/nowhere.json.", "See tests/faults/results.json."),
        ("[cli](nowhere.md)", "[cli](cli.md#runs)"),
        ("`dse.core.nowhere`", "`dse.core.space`"),
        ("`dse.core.space.Nowhere`", "`dse.core.space.SearchSpace`"),
        ("`dse.core.space.SearchSpace.nowhere`", "`dse.core.space.SearchSpace.decode`"),
        ("`hw_models.Nowhere`", "`hw_models.Accelerator.signature`"),
        ("`tests.faults.nowhere`", "`tests.faults.campaign`"),
        ("`Front.nowhere`", "`Front.select`"),
        ("`NowhereSearch`", "`RandomSearch`"),
        ("`nowhere_to_go()`", "`non_dominated()`"),
        ("`NOWHERE`", "`INACTIVE`"),
        ("`make nowhere`", "`make check`"),
        ("`dse nowhere`", "`dse lut verify`"),
        ("`dse trials nowhere`", "`dse trials list`"),
        ("`dse run STUDY --nowhere`", "`dse run STUDY --max-wall`"),
        ("`python tests/faults/campaign.py nowhere`", "`python tests/faults/campaign.py kills`"),
        ("```\nmake nowhere\n```", "```\nmake test\n```"),
        ("`search.nowhere`", "`search.early_stop`"),
        ("`search.plateau.nowhere`", "`search.plateau.gain`"),
        ("`settings.nowhere`", "`settings.task`"),
        (f"{'wide ' * 21}", f"{'wide ' * 20}"),
    ],
)
def test_what_is_wrong_is_one_line_and_what_is_right_is_none(says, wrong, right):
    assert says(f"# Page\n\n{right}\n") == []
    (found,) = says(f"# Page\n\n{wrong}\n")
    assert found.startswith(("docs/planted.md:3: ", "docs/planted.md:4: "))
    assert "nowhere" in found.lower() or "_x" in found or "characters" in found


def test_what_is_planted_on_a_real_page_is_found_there_and_nothing_else(facts):
    tree, path = facts.SourceTree(ROOT), ROOT / "docs" / "design.md"
    listed = tomllib.loads((ROOT / facts.FIGURES).read_text(encoding="utf-8"))["figure"]
    figures = [figure for figure in listed if figure["page"] == "docs/design.md"]
    text = path.read_text(encoding="utf-8") + (
        "`dse/answer.py`\n`dse.core.answer`\n`dse reply`\n`search.hope`\nIt takes 31 s.\n"
    )
    found = facts.Page(tree, "docs/design.md", text, figures).findings()
    end = text.count("\n")
    assert [line.split(":")[1] for line in found] == [str(end - i) for i in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "source",
    [
        {"json": "tests/faults/results.json", "at": ["kills", "kills"]},
        {
            "json": "tests/faults/results.json",
            "at": ["kills", "seconds"],
            "times": 2.5,
            "round": -3,
        },
        {"file": "docs/figures.toml", "line": "killed runs {2,000} times"},
        {"measured": "make bench", "date": "2026-11-21"},
    ],
)
def test_a_figure_with_its_source_holds_however_it_is_wrapped(says, source):
    figure = {"text": "killed {2,000} times", **source}
    assert says("It was killed\n2,000 times.\n", figure) == []


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("{0.8} V", {"code": "search_spaces.edgebert.VDD", "at": "2"}),
        ("{1,048,576} V", {"code": "dse.search.sequential.LISTED"}),
        ("{64} V", {"code": "studies.edgebert.system.Settings.sequence_length"}),
        ("{16,384} V", {"code": "dse.core.evaluation.InBatches.rows"}),
        (
            "{100} V",
            {"code": "dse.searchers.pymoo_search.PymooSearch.__init__", "at": "batch"},
        ),
    ],
)
def test_a_figure_of_the_code_is_read_from_it(says, text, source):
    assert says(text.replace("{", "").replace("}", ""), {"text": text, **source}) == []


def test_what_can_be_counted_is_counted(says, facts):
    for name, counted in facts.COUNTERS.items():
        true = counted(facts.SourceTree(ROOT))
        assert says(f"of {true} such", {"text": f"of {{{true}}} such", "count": name}) == []
        (found,) = says(f"of {true + 1} such", {"text": f"of {{{true + 1}}} such", "count": name})
        assert f"{name} says {true}" in found


@pytest.mark.parametrize(
    ("page", "figures", "complaint"),
    [
        ("killed 7 times", [], "does not say where it comes from"),
        ("killed 7 times", [{"text": "died {7} times"}], "is not on the page"),
        ("died 7 times", [{"text": "died {7} times"}], "has one of json"),
        ("died 7 times", [{"text": "died {7} times", "measured": "make bench"}], "needs its date"),
        (
            "died 7 times",
            [{"text": "died {7} times", "json": "tests/faults/results.json", "at": ["nowhere"]}],
            "gives nothing",
        ),
        (
            "died 7 times",
            [{"text": "died {7} times", "json": "tests/nowhere.json", "at": ["kills"]}],
            "gives nothing",
        ),
        (
            "died 7 times",
            [
                {
                    "text": "died {7} times",
                    "json": "tests/faults/results.json",
                    "at": ["kills", "lost"],
                }
            ],
            "says 0",
        ),
        (
            "died 7 times",
            [{"text": "died {7} times", "file": "pyproject.toml", "line": "line-length = 100"}],
            "does not say 7",
        ),
        (
            "died 7 times",
            [{"text": "died {7} times", "code": "dse.core.space.NOWHERE"}],
            "is not a constant",
        ),
    ],
)
def test_a_figure_without_a_true_source_is_found(says, page, figures, complaint):
    found = says(page, *figures)
    assert any(complaint in line for line in found), found


def test_numbers_that_are_no_figures_need_no_source(says):
    page = "1. A list, [Deb](https://example.org/2), (Deb et al., 2002), arXiv 2011.14203\n"
    assert says(page + "2. float32, NSGA-2, `x = 7`\n\n```\n5 lines\n```\n") == []


def test_drawings_repeat_the_contracts(says, facts):
    tree = facts.SourceTree(ROOT)
    floors = "\n".join(" | ".join(rooms) for rooms in tree.floors)
    homes = "\n".join(f"{library} {home}" for library, all_ in tree.homes.items() for home in all_)
    assert says(f"```floors\n{floors}\n```\n```homes\n{homes}\n```\n") == []
    (found,) = says(f"```floors\n{floors.replace('core', 'search')}\n```\n")
    assert "the floors differs" in found
    (found,) = says(f"```homes\n{homes.replace('ray dse.workers', 'ray dse.runs')}\n```\n")
    assert "homes of ray differ; pyproject.toml says dse.workers.ray_workers" in found
