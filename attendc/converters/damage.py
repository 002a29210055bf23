"""What a damaged or hand-edited file makes a reader do: it ends in one line, not in a traceback."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from attendc.errors import CheckpointError

__all__ = ["names_damage"]

P = ParamSpec("P")
T = TypeVar("T")

_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError),
    struct.error,
)
"""What reading makes of an index that leads nowhere, a name that is no text, a type that does not exist, a shape that
does not fit: the files are plain tables, and no reader checks each entry of them."""


def names_damage(read: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """Let a reader of a file end in a CheckpointError where the file is damaged."""

    @functools.wraps(read)
    def named(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(path, *args, **kwargs)
        except OSError as e:
            raise CheckpointError(f"{path} cannot be read: {e.strerror or e}") from e
        except _DAMAGE as e:
            reason = (str(e).strip() or "an entry is missing").splitlines()[0][:200]
            raise CheckpointError(
                f"{path} is damaged, or made in another way than attendc's: {type(e).__name__}: {reason}",
                hint="Convert it again",
            ) from e

    return named
