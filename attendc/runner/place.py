"""Where a run goes: a folder on this machine or a URI, and in both cases whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attendc.context import Context
from attendc.errors import OutputError
from attendc.files import check_replaceable, check_writable, new_folder
from attendc.locations import check_deliverable, deliver, is_uri
from attendc.manifest import MANIFEST

__all__ = ["check_place", "placed"]


def check_place(place: Path | str, *, force: bool) -> None:
    """Check, before any work, that a run can go there.

    Raises:
        OutputError: if something is there that may not be replaced, or nothing can be written.
    """
    if is_uri(str(place)):
        check_deliverable(str(place), force=force)
        return
    check_replaceable(Path(place), force=force)
    check_writable(Path(place) / MANIFEST)


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
    try:
        with tempfile.TemporaryDirectory(prefix="attendc-run-") as name:
            yield Path(name)
            deliver(Path(name), str(place), context, force=force)
    except OSError as e:
        text = f"cannot write in {tempfile.gettempdir()}: {e.strerror or e}"
        raise OutputError(text, hint="Free some space, or set TMPDIR to another folder") from e
