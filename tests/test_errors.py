"""The error tree: texts, hints and exit codes."""

from __future__ import annotations

import pytest

from attendc import errors
from attendc.errors import AttendcError

EXIT_CODES = {
    "AttendcError": 1,
    "InternalError": 1,
    "UsageError": 2,
    "OutputError": 2,
    "CheckpointError": 3,
    "DataError": 4,
    "ConversionError": 5,
    "ParityError": 6,
    "AccuracyError": 7,
    "BudgetError": 8,
}


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_each_class_has_the_exit_code_that_help_promises(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code


def test_the_table_of_exit_codes_misses_no_class() -> None:
    assert set(EXIT_CODES) == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_caught_as_one_of_ours(name: str) -> None:
    with pytest.raises(AttendcError, match=r"^no file x\.pt\. Check the path$"):
        raise getattr(errors, name)("no file x.pt", hint="Check the path")


def test_an_error_is_one_line_whatever_a_file_is_told_to_hold() -> None:
    error = AttendcError("no node a\nb", hint="Try\r\nagain")
    assert (str(error), error.message, error.as_json()["hint"]) == (
        "no node a b. Try again",
        "no node a b",
        "Try again",
    )


def test_an_error_without_hint_prints_its_message_alone() -> None:
    assert str(AttendcError("no file x.pt")) == "no file x.pt"


def test_message_and_hint_stay_apart_for_json() -> None:
    error = AttendcError("no file x.pt", hint="Check the path")
    assert (error.message, error.hint) == ("no file x.pt", "Check the path")
