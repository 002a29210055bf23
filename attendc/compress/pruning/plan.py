"""What goes and what stays: plain data, and the JSON that people read and change."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from attendc.errors import UsageError

__all__ = ["PrunePlan", "joined", "plan_from_json", "plan_to_json"]


@dataclass(frozen=True)
class PrunePlan:
    """Attributes:
    kept: name of a group -> its channels that stay, ascending; a group that is not named stays whole.
    removed: names of the residual blocks that go.
    sizes: name of a group -> how many channels it has before.
    columns: layer -> in how many columns it is written first, where they were narrower than a core's tile.
    """

    kept: dict[str, tuple[int, ...]] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)


def joined(first: PrunePlan, second: PrunePlan) -> PrunePlan:
    """Return the plan that does both, `second` being of the network that `first` left."""
    kept = dict(first.kept)
    for name, channels in second.kept.items():
        kept[name] = tuple(first.kept[name][c] for c in channels) if name in first.kept else channels
    sizes, columns = {**second.sizes, **first.sizes}, {**first.columns, **second.columns}
    return PrunePlan(kept, (*first.removed, *second.removed), sizes, columns)


def plan_to_json(plan: PrunePlan) -> str:
    """Return JSON with one line a layer."""
    rows = [
        f"    {json.dumps(name)}: {json.dumps({'of': plan.sizes[name], 'keep': list(kept)})}"
        for name, kept in plan.kept.items()
    ]
    layers = "{\n" + ",\n".join(rows) + "\n  }" if rows else "{}"
    columns = f'  "columns": {json.dumps(plan.columns)},\n' if plan.columns else ""
    removed = json.dumps(list(plan.removed))
    return f'{{\n  "version": 1,\n{columns}  "blocks_removed": {removed},\n  "layers": {layers}\n}}\n'


def plan_from_json(text: str) -> PrunePlan:
    """Read a plan.

    Raises:
        UsageError: naming what is missing or of the wrong type.
    """
    try:
        content = json.loads(text)
        if content["version"] != 1:
            raise UsageError(f"the plan has version {content['version']!r}, this attendc reads 1")
        layers = content["layers"]
        return PrunePlan(
            {str(name): tuple(sorted({_channel(c) for c in row["keep"]})) for name, row in layers.items()},
            _blocks(content["blocks_removed"]),
            {str(name): int(row["of"]) for name, row in layers.items()},
            {str(name): _channel(count) for name, count in content.get("columns", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise UsageError(
            f"the plan cannot be read: {type(e).__name__}: {e}", hint="attendc prune --plan-only writes one"
        ) from e


def _channel(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no channel")
    return value


def _blocks(value: object) -> tuple[str, ...]:
    if type(value) is not list:
        raise TypeError(f"{value!r} is no list of blocks")
    return tuple(str(name) for name in value)
