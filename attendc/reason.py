"""What a library's error says, short enough for a line of ours."""

from __future__ import annotations

__all__ = ["reason_of"]

_LONGEST = 200


def reason_of(error: BaseException) -> str:
    """Return the first line of an error, at most 200 characters; of one that says nothing its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:_LONGEST]
