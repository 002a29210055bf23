"""The choice of what goes: greedy on importance lost per cost saved, until the budget is met.

Rules:
1. Every column of a group keeps as many channels as the others, the most important ones of each column.
2. A step takes the channels of a column down to the next whole tile (`cost.TILE`), since ARM works through whole tiles;
   columns that are narrower than that, and the last step before the budget, go down by half tiles, quarters, ones.
3. A residual block is a step too. It loses what its least important inner group loses down to a channel a column.
4. Guarded layers stay as they are, and of each group at least `least` of the channels stay.
5. Where the cost falls in steps (`Budget.in_steps`) every size is weighed, since whoever looks one channel ahead sees
   nothing saved; and a step may end far below the budget. What is left over then goes back to where it regains most:
   first of all to channels that cost nothing, because their tile is computed anyway.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attendc.compress.pruning.budget import Budget
from attendc.compress.pruning.cost import TILE
from attendc.compress.pruning.groups import Block, ChannelGroup, inner_groups
from attendc.compress.pruning.plan import PrunePlan
from attendc.compress.pruning.shapes import Shapes, shrunk

__all__ = ["Candidates", "Choice", "choose", "keep_best"]

STEPS = (TILE, TILE // 2, TILE // 4, 2, 1)
"""Channels per column to which a step goes down: to a multiple of the first that leaves any."""
WITHIN = 0.02
"""How far below its budget a network may end."""


@dataclass(frozen=True)
class Candidates:
    """What may go.

    Attributes:
        groups: that are not guarded.
        blocks: that are not guarded.
        scores: group -> importance of each of its channels, (size,).
        lost: group -> importance lost when so many channels of each column are gone, from 0 up to all of them.
        block_lost: block -> importance lost with it.
    """

    groups: tuple[ChannelGroup, ...]
    blocks: tuple[Block, ...]
    scores: dict[str, Tensor]
    lost: dict[str, Sequence[float]]
    block_lost: dict[str, float]


@dataclass(frozen=True)
class Choice:
    """Attributes:
    plan: what stays and what goes.
    curve: one row a step: what went, the cost then (in parts of the whole), importance lost so far.
    cost: of the pruned network, in the budget's unit; None without a budget.
    note: why the budget is not met within 2 %; empty where it is.
    """

    plan: PrunePlan
    curve: tuple[dict[str, object], ...] = ()
    cost: float | None = None
    note: str = ""


@dataclass
class _State:
    counts: dict[str, int]
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Move:
    what: str
    lost: float
    state: _State


def choose(
    shapes: Shapes,
    everything: Sequence[ChannelGroup],
    candidates: Candidates,
    budget: Budget | None,
    *,
    counts: Mapping[str, int] | None = None,
    removed: Sequence[str] = (),
) -> Choice:
    """Return the plan whose network costs at most `budget.limit`, and not less than it by more than 2 % if possible.

    Args:
        shapes: of the network as it is.
        everything: all its groups.
        candidates: what may go.
        budget: None: only what is decided by hand goes.
        counts: channels that stay of groups that are decided by hand.
        removed: blocks that go by hand.
    """
    state = _State({g.name: g.size for g in candidates.groups} | dict(counts or {}), list(removed))
    if budget is None:
        return Choice(_plan(state, everything, candidates))
    search = _Search(shapes, everything, candidates, budget)
    curve: list[dict[str, object]] = []
    lost = 0.0
    while (move := search.next(state, budget.limit)) is not None:
        lost += move.lost
        state = move.state
        curve.append({"move": move.what, "cost": search.cost(state) / search.whole, "importance_lost": lost})
    cost = search.cost(state)
    return Choice(_plan(state, everything, candidates), tuple(curve), cost, _note(cost, budget))


class _Search:
    """The costs of states, and the best move from one."""

    def __init__(
        self, shapes: Shapes, everything: Sequence[ChannelGroup], candidates: Candidates, budget: Budget
    ) -> None:
        self.shapes, self.everything, self.candidates = shapes, everything, candidates
        self._cost, self._in_steps = budget.cost, budget.in_steps
        # Where columns were made wider first, the whole is what the network cost before.
        self.whole = budget.whole if budget.in_steps else budget.cost(shapes)

    def cost(self, state: _State) -> float:
        return self._cost(self._shrunk(state))

    def next(self, state: _State, limit: float) -> _Move | None:
        """Return the best move, None where there is none or nothing more is to be done."""
        if self.cost(state) <= limit:
            return self.best_return(state, limit) if self._in_steps else None
        if self._in_steps:
            return self.best_in_steps(state, limit)
        return self.best(state, floor=limit * (1 - WITHIN)) or self.best(state, floor=0.0)

    def best(self, state: _State, *, floor: float) -> _Move | None:
        """Return the move that loses least per cost saved among those that do not end below `floor`."""
        cost = self.cost(state)
        best: tuple[float, _Move] | None = None
        for options in self._moves(state):
            for move in options:  # ever finer: the first that does not end too low
                after = self._shrunk(move.state)
                saved = cost - self._cost(after)
                if saved <= 0 or cost - saved < floor:
                    continue
                ratio = move.lost / saved
                if best is None or ratio < best[0]:
                    best = (ratio, move)
                break
        return best[1] if best else None

    def best_in_steps(self, state: _State, limit: float) -> _Move | None:
        """Return the move of any size that loses least per cost saved, as far as that is to be saved."""
        cost = self.cost(state)
        best: tuple[float, _Move] | None = None
        for move in itertools.chain.from_iterable(self._moves(state)):
            saved = cost - self.cost(move.state)
            if saved <= 0:
                continue
            ratio = move.lost / min(saved, cost - limit)
            if best is None or ratio < best[0]:
                best = (ratio, move)
        return best[1] if best else None

    def best_return(self, state: _State, limit: float) -> _Move | None:
        """Return the move that gives channels back and regains most per cost, of those that stay within `limit`."""
        cost = self.cost(state)
        best: tuple[float, _Move] | None = None
        for group in self.candidates.groups:
            for move in self._returns(group, state):  # ever finer: the first that fits in
                added = self.cost(move.state) - cost
                if cost + added > limit or move.lost >= 0:
                    continue
                ratio = -move.lost / max(added, 1.0)
                if best is None or ratio > best[0]:
                    best = (ratio, move)
                break
        return best[1] if best else None

    def _shrunk(self, state: _State) -> Shapes:
        return shrunk(self.shapes, self.everything, state.counts, state.removed)

    def _moves(self, state: _State) -> Iterator[list[_Move]]:
        """Yield for each group and block its possible moves, the coarsest first."""
        for group in self.candidates.groups:
            if group.name in state.counts:
                yield list(self._channel_moves(group, state))
        for block in self.candidates.blocks:
            if block.name not in state.removed:
                yield [self._block_move(block, state)]

    def _channel_moves(self, group: ChannelGroup, state: _State) -> Iterator[_Move]:
        now = state.counts[group.name] // group.columns
        least = max(1, -(-(group.size // group.columns) * LEAST // 100))
        for target in self._sizes_below(now):
            if target >= least:
                yield self._resized(group, state, target)

    def _sizes_below(self, now: int) -> list[int]:
        """Return the channels of a column that a step may leave, where the cost falls in steps from the most on."""
        sizes = dict.fromkeys((now - 1) // step * step for step in STEPS)
        if self._in_steps:
            every = {*sizes, *range(TILE, now, TILE), *range(TILE // 4, min(now, 2 * TILE), TILE // 4), 2, 1}
            return sorted((n for n in every if n < now), reverse=True)
        return list(sizes)

    def _returns(self, group: ChannelGroup, state: _State) -> Iterator[_Move]:
        """Yield the moves up to the next multiples, and back to the whole width."""
        width = group.size // group.columns
        now = state.counts.get(group.name, group.size) // group.columns
        for target in dict.fromkeys(min((now // step + 1) * step, width) for step in STEPS):
            if target > now:
                yield self._resized(group, state, target)

    def _resized(self, group: ChannelGroup, state: _State, target: int) -> _Move:
        """Return the move to `target` channels in each column."""
        width, now = group.size // group.columns, state.counts[group.name] // group.columns
        lost = self.candidates.lost[group.name]
        counts = {**state.counts, group.name: target * group.columns}
        what = f"{group.name}: {target * group.columns} of {group.size} channels"
        return _Move(what, lost[width - target] - lost[width - now], _State(counts, state.removed))

    def _block_move(self, block: Block, state: _State) -> _Move:
        inner = {g.name for g in inner_groups(self.everything, block.name)}
        gone = [self._lost_so_far(g, state) for g in self.candidates.groups if g.name in inner]
        counts = {n: c for n, c in state.counts.items() if n not in inner}
        left = max(self.candidates.block_lost[block.name] - min(gone, default=0.0), 0.0)
        return _Move(f"{block.name}: removed", left, _State(counts, [*state.removed, block.name]))

    def _lost_so_far(self, group: ChannelGroup, state: _State) -> float:
        gone = (group.size - state.counts.get(group.name, group.size)) // group.columns
        return self.candidates.lost[group.name][gone]


LEAST = 12
"""Per cent of the channels of a group that stay whatever the budget."""


def keep_best(group: ChannelGroup, scores: Tensor, count: int) -> tuple[int, ...]:
    """Return the `count` most important channels, as many of each column; the first where several are equal."""
    rows = scores.view(group.columns, -1)
    order = torch.argsort(rows, dim=1, descending=True, stable=True)[:, : count // group.columns]
    kept = order + torch.arange(group.columns).unsqueeze(1) * rows.shape[1]
    return tuple(sorted(int(c) for c in kept.flatten()))


def lost_by_count(group: ChannelGroup, scores: Tensor) -> list[float]:
    """Return the importance lost when 0, 1, 2, ... of the least important channels of each column are gone.

    It is T ln(T / rest), T the importance of the whole group: what goes first counts as it is, what goes last ever
    more, since what is left has to do the work of all.
    """
    gone = scores.view(group.columns, -1).double().sort(dim=1).values.sum(0).cumsum(0)
    whole = gone[-1].clamp(min=1e-12)
    return [0.0, *(whole * torch.log(whole / (whole - gone[:-1]).clamp(min=1e-9 * whole))).tolist(), float(whole)]


def block_loss_by_groups(groups: Sequence[ChannelGroup], lost: Mapping[str, Sequence[float]], block: str) -> float:
    """Return what a block is guessed to lose by rule 3; nothing is known of a block without groups of its own."""
    return min((lost[g.name][-2] for g in inner_groups(groups, block)), default=float("inf"))


def _plan(state: _State, everything: Sequence[ChannelGroup], candidates: Candidates) -> PrunePlan:
    gone = {g.name for block in state.removed for g in inner_groups(everything, block)}
    changed = [g for g in everything if g.name not in gone and state.counts.get(g.name, g.size) < g.size]
    kept = {g.name: keep_best(g, candidates.scores[g.name], state.counts[g.name]) for g in changed}
    return PrunePlan(kept, tuple(state.removed), {g.name: g.size for g in changed})


def _note(cost: float, budget: Budget) -> str:
    if cost > budget.limit:
        return f"nothing more can go: {cost:,.0f} {budget.unit} are left, {budget.limit:,.0f} were asked for"
    if cost < budget.limit * (1 - WITHIN):
        return f"the smallest last step went {1 - cost / budget.limit:.1%} below the budget"
    return ""
