"""Gates line by line: they agree with what verification itself says, whatever it found."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, strategies as st
from nets import SMALL

from attendc.data.images import Images
from attendc.data.preprocess import random_images
from attendc.errors import AccuracyError, AttendcError, BudgetError, ParityError
from attendc.gates import budget_row, check_budgets, check_verification, gate_rows
from attendc.parity import Gates, Pair, Report, _accuracy_failures, _agreement_failures
from attendc.targets import FLOAT, GRAPH, WITNESS, family_of, is_quantized

NAMES = (FLOAT, GRAPH, "tflite", WITNESS, "onnx", "tflite_float32", "onnx_float32", "tflite_dynamic", "graph_int16")
IMAGES: Images = random_images(SMALL, 1)
PARTS = st.floats(0, 1) | st.sampled_from([0.9, 0.98, 0.99, 1.0])


@st.composite
def verifications(draw: st.DrawFn) -> tuple[Report, Gates]:
    """Return a report as `verify` makes it of made-up findings, and what was due."""
    gates = Gates(draw(PARTS), draw(st.floats(-5, 100) | st.sampled_from([0.0, 1.0])))
    names = [FLOAT, *draw(st.lists(st.sampled_from(NAMES[1:]), unique=True))]
    reached = {name: draw(PARTS) for name in names} if draw(st.booleans()) else {}
    pairs = tuple(
        Pair(a, b, 100, draw(PARTS), 0.0, 0.0, 99.0, family_of(a) == family_of(b))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    )
    equal: list[bool | None] = [None, None]
    failures: list[str] = []
    if draw(st.booleans()):
        equal = [draw(st.booleans()), draw(st.booleans())]
        failures += ["tflite: 2 scales of the graph are missing (conv, add), 0 are not the graph's"] * (not equal[0])
        failures += ["onnx: the integers of 1 layers differ: conv"] * (not equal[1])
    failures += _agreement_failures(pairs, gates, (), None, IMAGES, SMALL)
    lost = tuple(_accuracy_failures(reached, 100, gates))
    return Report(100, reached, pairs, equal[0], equal[1], tuple(failures), lost), gates


def rows_of(report: Report, gates: Gates) -> list[Any]:
    return gate_rows(report.as_json(), min_agreement=gates.min_agreement, max_drop=gates.max_drop_points)


@given(verifications())
def test_all_rows_hold_where_the_verification_passed_and_not_else(case: tuple[Report, Gates]) -> None:
    report, gates = case
    rows = rows_of(report, gates)
    assert all(row.passed for row in rows) == report.passed
    error = refused(report)
    assert (error is None) == report.passed
    failed = {row.kind for row in rows if not row.passed}
    if isinstance(error, ParityError):
        assert "parity" in failed
    if isinstance(error, AccuracyError):
        assert failed == {"accuracy"}


@given(verifications())
def test_every_failure_is_told_by_a_row_and_no_row_that_holds_tells_one(case: tuple[Report, Gates]) -> None:
    report, gates = case
    rows = rows_of(report, gates)
    told = "; ".join(row.message for row in rows if not row.passed)
    assert all(text in told for text in (*report.failures, *report.accuracy_failures))
    assert all(bool(row.message) != row.passed for row in rows)


@given(verifications())
def test_there_is_a_row_for_each_thing_that_must_hold(case: tuple[Report, Gates]) -> None:
    report, gates = case
    names = [row.name for row in rows_of(report, gates)]
    assert len(names) == len(set(names))
    pairs = [f"agreement of {p.a} with {p.b}" for p in report.pairs if p.gated]
    read_back = ["scales as in the graph", "integer weights as in the graph"] if report.scales_equal is not None else []
    lost = [f"accuracy lost by {n}" for n in report.accuracy if is_quantized(n) and n != WITNESS]
    assert names == [*pairs, *read_back, *lost]


def refused(report: Report) -> AttendcError | None:
    try:
        check_verification(report.as_json())
    except (ParityError, AccuracyError) as e:
        return e
    return None


def a_report(**changes: Any) -> dict[str, Any]:
    """Return a verification: float 95 %, the graph 94.2 % right, and 99.5 % of images alike in graph and onnx."""
    told: dict[str, Any] = {
        "accuracy": {FLOAT: 0.95, GRAPH: 0.942},
        "pairs": [{"a": GRAPH, "b": "onnx", "top1_agreement": 0.995, "gated": True}],
        "scales_equal": True,
        "weights_equal": True,
        "failures": [],
        "accuracy_failures": [],
    }
    return {**told, **changes}


def test_rows_tell_what_was_found_and_what_was_due() -> None:
    rows = gate_rows(a_report(), min_agreement=0.99, max_drop=1.0)
    assert [(r.stage, r.kind, r.value, r.limit, r.passed) for r in rows] == [
        ("verify", "parity", 0.995, 0.99, True),
        ("verify", "parity", True, True, True),
        ("verify", "parity", True, True, True),
        ("verify", "accuracy", 0.8, 1.0, True),  # 95.0 - 94.2 points
    ]


def test_what_is_not_gated_has_no_row() -> None:
    pair = {"a": FLOAT, "b": "onnx", "top1_agreement": 0.5, "gated": False}
    told = a_report(pairs=[pair], scales_equal=None, weights_equal=None, accuracy={})
    assert gate_rows(told, min_agreement=0.99, max_drop=1.0) == []


def test_layers_whose_names_read_like_a_sentence_hide_no_failure() -> None:
    text = "onnx: the integers of 1 layers differ: a and b agree on 3"
    rows = gate_rows(a_report(weights_equal=False, failures=[text]), min_agreement=0.99, max_drop=1.0)
    assert [r.name for r in rows if not r.passed] == ["integer weights as in the graph"]


def test_just_as_many_points_may_be_lost_as_are_allowed() -> None:
    reached = {FLOAT: 0.93, GRAPH: 0.92}  # 100 * (0.93 - 0.92) is 1.0000000000000009
    assert _accuracy_failures(reached, 100, Gates(0.99, 1.0)) == []
    (row,) = gate_rows(
        a_report(pairs=[], scales_equal=None, weights_equal=None, accuracy=reached), min_agreement=0.99, max_drop=1.0
    )
    assert (row.value, row.passed) == (1.0, True)
    (told,) = _accuracy_failures(reached, 100, Gates(0.99, 0.99))
    assert told == "graph reaches 92.00% of 100 images, float 93.00%: 1.00 points lost, 0.99 allowed"


def test_parity_comes_before_accuracy() -> None:
    with pytest.raises(ParityError, match=r"^x; y\. "):
        check_verification(a_report(failures=["x", "y"], accuracy_failures=["z"]))
    with pytest.raises(AccuracyError, match=r"^z\. "):
        check_verification(a_report(accuracy_failures=["z"]))
    check_verification(a_report())


def test_a_budget_holds_up_to_its_limit() -> None:
    assert budget_row("instructions of f on cortex-a76", 40_000_000, 40e6).passed
    row = budget_row("instructions of f on cortex-a76", 40_000_001, 40e6)
    assert not row.passed
    assert row.message == "instructions of f on cortex-a76: 40,000,001, 40,000,000 allowed"


def test_every_budget_that_is_not_kept_is_named() -> None:
    rows = [dataclasses.asdict(budget_row(name, value, 10)) for name, value in (("a", 11), ("b", 10), ("c", 12))]
    with pytest.raises(BudgetError, match=r"^a: 11, 10 allowed; c: 12, 10 allowed\. See where"):
        check_budgets(rows)
    check_budgets(rows[1:2])
    check_budgets([{"kind": "parity", "passed": False, "message": "of another kind"}])
