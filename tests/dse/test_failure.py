"""Failures: a kind that is never read out of a text, and a text that does no harm."""

import io
import pickle
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dse.core.errors import EvaluationError, RowsFailed, RunDamaged
from dse.core.evaluation import evaluate_rows
from dse.core.failure import KINDS, LONGEST, Failure
from dse.core.signature import Signature
from dse.core.texts import printable, safe_line
from dse.results.text_table import TextTable
from dse.runs.failures import (
    CommonFailure,
    common_failures,
    common_failures_of,
    failure_counts,
    stored_failure,
)
from dse.runs.status import run_status

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=700)


@given(ANYTHING, st.integers(1, 40))
def test_a_reason_is_one_short_printable_line_and_stays_as_it_is(text, times):
    why = Failure("raised", text * times)
    assert 0 < len(why.reason) <= LONGEST
    why.reason.encode()
    assert "\n" not in why.reason
    assert not {unicodedata.category(c) for c in why.reason} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert Failure(why.kind, why.reason) == why
    assert pickle.loads(pickle.dumps(why)) == why
    assert stored_failure(why.kind, why.reason) == why


@given(ANYTHING)
def test_only_hidden_characters_are_replaced(text):
    shown = printable(text)
    shown.encode()
    assert printable(shown) == shown
    assert not {unicodedata.category(c) for c in shown if c != "\n"} & {"Cc", "Cf", "Cs"}
    if all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text):
        assert shown == text


def test_a_long_text_says_how_long_it_was():
    assert safe_line("ab " * 400, 30) == "ab ab ab a… (1,199 characters)"
    assert safe_line("x" * 500, LONGEST) == "x" * 500
    long = Failure("raised", "x" * 2_000_000).reason
    assert len(long) == LONGEST
    assert long.endswith("x… (2,000,000 characters)")


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="failure kind 'bored' is not one of raised"):
        Failure("bored", "why")  # type: ignore[arg-type]
    with pytest.raises(RunDamaged, match="failure kind 'bored'"):
        stored_failure("bored", "why")
    assert stored_failure("", "") is None
    assert [stored_failure(kind, "why") for kind in KINDS] == [Failure(k, "why") for k in KINDS]


class Saying:
    """Raises what it is given, or answers it."""

    signature = Signature.uniform({"x": "1"}, {"y": "1", "name": "handle"}, "measured", "measured")

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, columns):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(columns["x"])


def failed(answer, n=1):
    with pytest.raises(RowsFailed) as caught:
        evaluate_rows(Saying(answer), {"x": np.arange(float(n))})
    return dict(caught.value.reasons)


@pytest.mark.parametrize(
    "text",
    [
        "worker lost: its process died 3 times on this design",
        "timed out: no answer within 5 s",
        "energy = nan is not a finite number",
        "Saying gave y with shape (1, 2)",
        "stopped early after 1 of 2 sentences",
        "stopped before it began",
        "an end was asked for",
    ],
)
@pytest.mark.parametrize(
    "raised",
    [ValueError, EvaluationError, lambda text: RowsFailed({0: text}, {"y": np.zeros(1)})],
    ids=["ValueError", "EvaluationError", "RowsFailed"],
)
def test_a_text_of_an_evaluator_is_never_another_kind(raised, text):
    (why,) = failed(raised(text)).values()
    assert why.kind == "raised"
    assert text in why.reason


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (np.ones(4, np.longdouble), "y [1] as float128; numbers have at most 64 bits"),
        (np.array([1, 2, 2**63, 4], np.uint64), "y [1] as uint64 up to 9223372036854775808"),
    ],
)
def test_a_number_that_no_file_holds_is_refused(numbers, said):
    found = failed(
        lambda x: {"y": numbers[x.astype(int)], "name": np.full(len(x), "a")}, len(numbers)
    )
    assert sorted(found) == ([2] if numbers.dtype == np.uint64 else [0, 1, 2, 3])
    for why in found.values():
        assert why.kind == "not as declared"
        assert said in why.reason


def test_the_greatest_number_that_a_file_holds_is_taken():
    y = np.array([2**63 - 1], np.uint64)
    answer = evaluate_rows(Saying(lambda _: {"y": y, "name": np.array(["a"])}), {"x": np.zeros(1)})
    assert answer["y"].tolist() == [2**63 - 1]


def test_a_text_that_cannot_be_encoded_fails_its_row_alone():
    names = np.array(["a", "caf\udce9", "c"])
    found = failed(lambda x: {"y": x, "name": names[x.astype(int)]}, 3)
    assert found == {
        1: Failure(
            "not as declared",
            "Saying gave name [handle] as 'caf\\udce9', which cannot be encoded as UTF-8",
        )
    }


def test_kinds_are_counted_and_what_was_stopped_on_purpose_has_not_failed():
    failures = [Failure(kind, "why") for kind in KINDS]
    counts = failure_counts([None, *failures, None, failures[0]])
    assert counts == {kind: 1 for kind in sorted(KINDS) if kind != "stopped early"} | {"raised": 2}
    assert list(counts) == sorted(counts)


def test_the_commonest_reasons_come_first_and_numbers_do_not_tell_them_apart():
    low = [Failure("raised", f"x = {x} is below 0") for x in (-1.5, -2e-30, -3)]
    other = [Failure("timed out", "no answer within 5 s")] * 2
    once = [Failure("raised", text) for text in ("a", "b")]
    assert common_failures([None, *once, *low, *other, Failure("stopped early", "after 3")]) == (
        CommonFailure(3, "raised", "x = -1.5 is below 0", alike=False),
        CommonFailure(2, "timed out", "no answer within 5 s", alike=True),
        CommonFailure(1, "raised", "a", alike=True),
    )
    assert [str(common) for common in common_failures([*low, *other])] == [
        "3 raised: such as x = -1.5 is below 0",
        "2 timed out: no answer within 5 s",
    ]
    (long,) = common_failures([Failure("raised", "x" * 400)])
    assert str(long) == f"1 raised: {'x' * 159}…"
    assert common_failures([]) == ()


def test_the_status_of_a_run_names_its_commonest_reasons(small_run):
    failures = small_run.trials.failures
    found = common_failures_of(small_run.folder)
    assert found == common_failures(failures)
    assert sum(common.count for common in found) == sum(why is not None for why in failures) > 0
    status = run_status(small_run.folder)
    assert status.reasons == found
    assert status.lines()["most often"].splitlines() == [str(common) for common in found]


def test_a_table_shows_every_text_as_it_is():
    texts = ("int8[sym]", "[/nope]", "[red]x[/red]", ":warning:", "\x1b[2J", "\u202elive")
    table = TextTable(*texts, title="[/nope] \x9b2J")
    table.add_row(*texts)
    table.add_caption("[bold]\x07")
    said = io.StringIO()
    Console(file=said, width=200).print(table)
    lines = said.getvalue().splitlines()
    shown = ["int8[sym]", "[/nope]", "[red]x[/red]", ":warning:", r"\x1b[2J", r"\u202elive"]
    for line in (lines[2], lines[4]):
        assert [cell.strip() for cell in line.strip("┃│ ").replace("┃", "│").split("│")] == shown
    assert lines[0].strip() == r"[/nope] \x9b2J"
    assert lines[-1].strip() == r"[bold]\x07"
