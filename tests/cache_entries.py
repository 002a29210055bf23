"""A stage's entry in a cache."""

from __future__ import annotations

from typing import Any

from attendc.runner.cache import Entry, StageCache, stage_key

__all__ = ["CONTENT", "KEY", "built"]

KEY = stage_key({"step": "qat"})
CONTENT = {"model.pt": bytes(range(256)) * 40, "tables/rows.json": b"[1]"}


def built(cache: StageCache, key: str = KEY, content: dict[str, bytes] = CONTENT, **meta: Any) -> Entry:
    with cache.building(key) as building:
        for name, data in content.items():
            (building.folder / name).parent.mkdir(exist_ok=True)
            (building.folder / name).write_bytes(data)
        return building.commit({"step": "qat", **meta})
