"""A stage's entry in a cache, and a disk that is full."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attendc.runner.cache import Entry, StageCache, stage_key

__all__ = ["CONTENT", "KEY", "built", "files_of_at_most"]

KEY = stage_key({"step": "qat"})
CONTENT = {"model.pt": bytes(range(256)) * 40, "tables/rows.json": b"[1]"}


def built(cache: StageCache, key: str = KEY, content: dict[str, bytes] = CONTENT, **meta: Any) -> Entry:
    with cache.building(key) as building:
        for name, data in content.items():
            (building.folder / name).parent.mkdir(exist_ok=True)
            (building.folder / name).write_bytes(data)
        return building.commit({"step": "qat", **meta})


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Make the kernel refuse to let a file grow beyond `size`, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
