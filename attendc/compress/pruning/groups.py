"""Channels that can only be removed together, and blocks that can be left out: plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Block", "ChannelGroup", "Member", "Side", "inner_groups"]

Side = Literal["out", "in", "both"]


@dataclass(frozen=True)
class Member:
    """One side of one layer in a group.

    Attributes:
        layer: its name.
        side: `out` or `in`; `both` for norms and depthwise convolutions, whose inputs are their outputs.
        channels: channels of that side that belong to the group.
        roots: for each of them the channel of the group that it goes with.
    """

    layer: str
    side: Side
    channels: tuple[int, ...]
    roots: tuple[int, ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that several layers share.

    Attributes:
        name: the layer whose outputs they are; the plan calls the group by it.
        size: number of channels.
        columns: of grouped convolutions among the members; each column must keep as many channels as the others.
        members: the layers.
        pools: average pools on the way: (name, area of the kernel). They become depthwise convolutions in int8.
    """

    name: str
    size: int
    columns: int
    members: tuple[Member, ...]
    pools: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Block:
    """A residual block that can be left out. `layers` are the layers in it with weights."""

    name: str
    layers: tuple[str, ...]


def inner_groups(groups: Iterable[ChannelGroup], block: str) -> list[ChannelGroup]:
    """Return the groups that lie wholly inside a block."""
    return [g for g in groups if all(m.layer.startswith(f"{block}.") for m in g.members)]
