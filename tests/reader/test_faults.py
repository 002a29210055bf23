"""How faults are told."""

from __future__ import annotations

import pytest

from attendc.errors import UsageError
from attendc.reader.faults import Fault, RecipeError, closest, join, show


def test_a_fault_is_one_line_with_its_place_path_value_and_what_was_meant() -> None:
    fault = Fault("r.yaml", 3, "stages[0].grow.epochs", '"2"', "must be an integer", "2")
    assert str(fault) == 'r.yaml:3: stages[0].grow.epochs: "2": must be an integer (did you mean 2?)'


def test_what_a_fault_does_not_have_is_left_out() -> None:
    assert str(Fault("--set a", 0, "", "", "must be PATH=VALUE")) == "--set a: must be PATH=VALUE"


def test_a_break_in_a_name_does_not_break_the_line() -> None:
    assert str(Fault("a\nb.yaml", 1, "k\u2028k", "", "is wrong")) == "a\\nb.yaml:1: k\\nk: is wrong"


def test_the_error_lists_all_faults_in_the_order_of_their_lines_each_once() -> None:
    late, early = Fault("r.yaml", 9, "b", "", "is wrong"), Fault("r.yaml", 2, "a", "", "is wrong")
    error = RecipeError([late, early, late])
    assert error.faults == (early, late)
    assert str(error) == "r.yaml:2: a: is wrong\nr.yaml:9: b: is wrong"


def test_the_error_is_one_of_usage() -> None:
    error = RecipeError([Fault("r.yaml", 1, "", "", "is wrong")])
    assert isinstance(error, UsageError)
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("word", "expected"),
    [("epocs", "epochs"), ("EPOCHS", "epochs"), ("pqt", "ptq"), ("zebra", ""), (3, ""), ("", "")],
)
def test_the_closest_word_is_found_where_one_is_close(word: object, expected: str) -> None:
    assert closest(word, ["qat", "epochs", "ptq"]) == expected


def test_a_path_grows_by_keys_and_indices() -> None:
    assert join(join(join("", "stages"), 1), "grow") == "stages[1].grow"


def test_a_long_value_is_cut() -> None:
    assert show("x" * 100) == '"' + "x" * 56 + "..."
    assert show("x" * 58) == '"' + "x" * 58 + '"'
