"""The error tree. One class per exit code; the CLI maps each to its code and prints it in one line.

No other exception is meant to reach a user: whatever is not an `AttendcError` is a bug of ours (exit code 1).
"""

from typing import Any

__all__ = [
    "AccuracyError",
    "AttendcError",
    "BudgetError",
    "CheckpointError",
    "ConversionError",
    "DataError",
    "InternalError",
    "OutputError",
    "ParityError",
    "UsageError",
]


class AttendcError(Exception):
    """What happened, with the value and the name; `hint` is what to type or change next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message and the hint apart so that `--json` can show both; each becomes one line."""
        self.message, self.hint = (" ".join(text.splitlines()) for text in (message, hint))
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return one line: message, then the hint."""
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints of it."""
        kind = type(self).__name__
        return {"kind": kind, "exit_code": self.exit_code, "message": self.message, "hint": self.hint}


class InternalError(AttendcError):
    """A promise between two parts of attendc does not hold."""

    exit_code = 1


class UsageError(AttendcError):
    """Options that contradict each other or have no such value."""

    exit_code = 2


class OutputError(UsageError):
    """The place named for the output cannot take it: it exists, is read-only, or the disk is full."""


class CheckpointError(AttendcError):
    """A checkpoint or a model that cannot be read, trusted, built or filled with weights."""

    exit_code = 3


class DataError(AttendcError):
    """Images or labels that are missing, corrupt or do not fit the model."""

    exit_code = 4


class ConversionError(AttendcError):
    """An operation that the target cannot run as asked, by name, module and reason."""

    exit_code = 5


class ParityError(AttendcError):
    """An artefact that does not compute what the quantized graph computes."""

    exit_code = 6


class AccuracyError(AttendcError):
    """An artefact that is right about its graph but lost more accuracy than allowed."""

    exit_code = 7


class BudgetError(AttendcError):
    """An artefact that costs more than allowed: instructions, partitions or bytes."""

    exit_code = 8
