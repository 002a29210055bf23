"""Where a run goes: a folder on this machine or a URI, and in both cases whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attendc.context import Context
from attendc.files import new_folder
from attendc.locations import deliver, is_uri

__all__ = ["placed"]


@contextmanager
def placed(place: Path | str, context: Context, *, force: bool) -> Iterator[Path]:
    """Give an empty folder to fill; on success it becomes `place`, which may be a URI.

    Raises:
        OutputError: if it exists and may not be replaced, or cannot be written.
    """
    if not is_uri(str(place)):
        with new_folder(Path(place), force=force) as beside:
            yield beside
        return
    with tempfile.TemporaryDirectory(prefix="attendc-run-") as name:
        yield Path(name)
        deliver(Path(name), str(place), context, force=force)
