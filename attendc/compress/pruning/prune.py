"""The step of pruning: choose, take out, let recover; at once or in several rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from torch import Tensor, nn

from attendc.compress.pruning.amount import CORE_BUDGET, core_amount_of
from attendc.compress.pruning.apply import apply_prune_plan
from attendc.compress.pruning.budget import Budget, budget_of, core_budget_of
from attendc.compress.pruning.core_cost import instructions_on
from attendc.compress.pruning.cost import Cost
from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.importance import NEED_DATA, Importance, measure_importance
from attendc.compress.pruning.operators import find_operators
from attendc.compress.pruning.plan import PrunePlan, joined
from attendc.compress.pruning.planner import Choice, choose
from attendc.compress.pruning.recover import recover, refresh_batch_norms
from attendc.compress.pruning.select import Rows, candidates_of, counts_by_hand, default_guard, ratios_by_hand
from attendc.compress.pruning.shapes import measure_shapes
from attendc.compress.pruning.wider_columns import cheapest_columns, surgery_of_columns, with_columns
from attendc.compress.step_row import step_row
from attendc.context import Context
from attendc.data.images import Dataset, Images, evenly
from attendc.data.preprocess import batches
from attendc.errors import DataError, UsageError
from attendc.models.surgery import merged
from attendc.train import TrainOptions
from attendc.types import Preprocess, Surgery

__all__ = ["Measure", "PruneOptions", "PruneTask", "Pruned", "plan_pruning", "prune_network"]

Measure = Callable[[nn.Module, Dependencies], Rows]
"""Measures how sensitive each part of a network is, and the loss of the whole."""


@dataclass(frozen=True)
class PruneOptions:
    """How to prune.

    Attributes:
        unit: of the budget: `macs`, `params`, `bytes`, or `budget` for instructions on a core; empty: only `keep`.
        amount: of the budget, as typed: `0.5`, `40k`; of a core `cortex-a76:0.6`, `cortex-a76:40M`.
        importance: how channels are weighed.
        images: training images to weigh them on.
        keep: part of the channels to keep by hand, by name of a layer; the budget does not choose among those.
        guard: names of layers, or of modules around them, whose outputs stay; None: by the network, and nothing where
            the budget is a core's: the first layers cost most there.
        steps: rounds in which the budget is reached.
        sensitivity: choose by what is measured part by part, instead of what importance guesses.
        recover: options of training after each round; None: none.
    """

    unit: str = "macs"
    amount: str = "0.5"
    importance: Importance = "taylor"
    images: int = 2048
    keep: dict[str, float] = field(default_factory=dict)
    guard: tuple[str, ...] | None = None
    steps: int = 1
    sensitivity: bool = False
    recover: TrainOptions | None = None


@dataclass(frozen=True)
class PruneTask:
    """What pruning works on.

    Attributes:
        sample: an input (N, C, H, W).
        preprocess: of all images.
        dataset: None: no batch norm is measured again and nothing is trained.
        judged: images that tell the accuracy after each step; none without a data set.
        measure: how sensitivity is measured, where the options ask for it.
    """

    sample: Tensor
    preprocess: Preprocess
    dataset: Dataset | None = None
    judged: Images | None = None
    measure: Measure | None = None


@dataclass(frozen=True)
class Pruned:
    """Attributes:
    model: the pruned network in eval mode.
    surgery: what its Spec must keep.
    plan: what stayed and what went, in channels of the network as it was.
    steps: for the manifest and the screen: a row after each step, with MACs, parameters and accuracy.
    rounds: for the manifest: budget, cost reached, curve of the choice, and training of each round.
    refused: what could not be pruned, and why.
    """

    model: nn.Module
    surgery: Surgery
    plan: PrunePlan
    steps: tuple[dict[str, Any], ...]
    rounds: tuple[dict[str, Any], ...]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class _Target:
    """What one round has to reach: a budget, and counts and blocks that are decided by hand."""

    budget: Budget | None
    counts: dict[str, int] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class _Rows:
    """The rows of the table of steps; with the core's instructions, as estimated, where they are what counts."""

    def __init__(self, task: PruneTask, budget: Budget | None) -> None:
        self.task, self.told = task, list[dict[str, Any]]()
        self.instructions: Cost | None = budget.cost if budget is not None and budget.in_steps else None

    def add(self, step: str, model: nn.Module) -> None:
        row = step_row(step, model, self.task.preprocess, self.task.judged)
        if self.instructions is not None:
            row["instructions"] = round(self.instructions(measure_shapes(model, (), self.task.sample)))
        self.told.append(row)


@dataclass(frozen=True)
class _Begin:
    """What the first round works on: the network, what of it can be pruned, the budget, and columns made wider."""

    model: nn.Module
    found: Dependencies
    budget: Budget | None
    columns: dict[str, int]


def plan_pruning(
    model: nn.Module, task: PruneTask, options: PruneOptions, context: Context
) -> tuple[Choice, Dependencies]:
    """Return the choice for the whole budget at once, and what it was made from; nothing is pruned.

    Raises:
        As `prune_network`.
    """
    _check_options(task, options)
    begin = _begin(model, task, options, None)
    target = _targets(begin.found, begin.budget, replace(options, steps=1))[0]
    choice = _choice(begin.model, begin.found, task, options, target, context)
    if choice.note:
        context.warn(choice.note)
    return replace(choice, plan=replace(choice.plan, columns=begin.columns)), begin.found


def prune_network(
    model: nn.Module,
    task: PruneTask,
    options: PruneOptions,
    context: Context,
    *,
    given: PrunePlan | None = None,
) -> Pruned:
    """Return a pruned copy of `model`, recovered in each round; a `given` plan is applied in one round.

    Raises:
        UsageError: if options name what is not there, or the budget cannot be met.
        DataError: if the options need images and there are none.
        CheckpointError: if the network cannot be grouped or does not run after a step.
    """
    _check_options(task, options, chosen=given is None)
    begin = _begin(model, task, options, given)
    found = start = begin.found
    targets = [_Target(None)] if given else _targets(found, begin.budget, options)
    now, plan, surgery = begin.model, PrunePlan(columns=begin.columns), surgery_of_columns(begin.model, begin.columns)
    rows = _Rows(task, begin.budget)
    rows.add("as it was", model)
    if begin.columns:
        rows.add("columns made wider", now)
    rounds = []
    for index, target in enumerate(targets):
        if index:
            found = _named_as(start, find_dependencies(now, task.sample))
        choice = Choice(given) if given else _choice(now, found, task, options, target, context)
        if choice.note and index == len(targets) - 1:
            context.warn(choice.note)
        now, taken = apply_prune_plan(now, choice.plan, found, task.sample)
        plan, surgery = joined(plan, choice.plan), merged(surgery, taken)
        rows.add("pruned", now)
        row = {"budget": _told(target.budget), "cost": choice.cost, "note": choice.note, "curve": list(choice.curve)}
        rounds.append(row)
        now = _recovered(now, model, task, options, (index, len(targets)), rows, row, context)
    return Pruned(now, surgery, plan, tuple(rows.told), tuple(rounds), start.refused)


def _named_as(start: Dependencies, found: Dependencies) -> Dependencies:
    """Give the groups of a later round the names and columns of the first.

    The layer of the name may have gone with its block. A convolution that is left with a channel a column looks
    depthwise, but its columns are those of the network that the plan is for.
    """
    first = {m.layer: g for g in start.groups for m in g.members if m.side != "in"}
    known = {g.name: first.get(g.name, g) for g in found.groups}
    groups = tuple(
        replace(g, name=known[g.name].name, columns=math.lcm(g.columns, known[g.name].columns)) for g in found.groups
    )
    return replace(found, groups=groups, raw={known[g.name].name: found.raw[g.name] for g in found.groups})


def _check_options(task: PruneTask, options: PruneOptions, *, chosen: bool = True) -> None:
    """Check the options; of a plan that is not chosen but given only recovery is left to check."""
    if chosen and not options.unit and not options.keep:
        raise UsageError(
            "nothing says how much to prune", hint="Add --macs 0.5, --params, --bytes, --budget or --keep LAYER=0.5"
        )
    if options.steps < 1:
        raise UsageError(f"steps is {options.steps}", hint="Give 1 or more")
    wants = {
        f"the importance {options.importance}": chosen and options.importance in NEED_DATA,
        "sensitivity": chosen and options.sensitivity,
        "recovery": options.recover is not None and options.recover.epochs > 0,
    }
    if task.dataset is None and any(wants.values()):
        named = [name for name, needed in wants.items() if needed]
        verb = "need" if len(named) > 1 else "needs"
        raise DataError(
            f"{' and '.join(named)} {verb} images", hint="Add --data, or --importance l2 --epochs 0 to do without"
        )


def _targets(found: Dependencies, whole: Budget | None, options: PruneOptions) -> list[_Target]:
    """Return what each round has to reach: equal factors of the budget, and of the parts by hand."""
    ratios, removed = ratios_by_hand(found, options.keep)
    targets = []
    for index in range(1, options.steps + 1):
        part = index / options.steps
        budget = replace(whole, limit=whole.whole * (whole.limit / whole.whole) ** part) if whole else None
        counts = counts_by_hand(found.groups, {name: ratio**part for name, ratio in ratios.items()})
        targets.append(_Target(budget, counts, removed if index == 1 else ()))
    return targets


def _begin(model: nn.Module, task: PruneTask, options: PruneOptions, given: PrunePlan | None) -> _Begin:
    """Return what the first round works on; of a core's budget, and a plan of one, with the columns made wider."""
    found = find_dependencies(model, task.sample)
    columns: Mapping[str, int] = given.columns if given else {}
    budget = None
    if given is None and options.unit:
        shapes = measure_shapes(model, found.groups, task.sample)
        if options.unit == CORE_BUDGET:
            operators = cache(lambda: find_operators(model, task.preprocess, shapes, found.blocks))
            budget = core_budget_of(options.amount, shapes, lambda core: instructions_on(core, operators()))
            columns = cheapest_columns(operators(), core_amount_of(options.amount)[0])
        else:
            budget = budget_of(options.unit, options.amount, shapes)
    if columns:
        model = with_columns(model, columns)
        found = find_dependencies(model, task.sample)
    return _Begin(model, found, budget, dict(columns))


def _choice(
    model: nn.Module,
    found: Dependencies,
    task: PruneTask,
    options: PruneOptions,
    target: _Target,
    context: Context,
) -> Choice:
    shapes = measure_shapes(model, found.groups, task.sample)
    scores = measure_importance(found, options.importance, _weighed_on(task, options))
    measured = task.measure(model, found) if options.sensitivity and task.measure is not None else None
    guard = options.guard
    if guard is None:
        guard = () if options.unit == CORE_BUDGET else default_guard(model)
    context.say(f"guarded: {', '.join(guard) or 'nothing'}")
    candidates = candidates_of(found, scores, guard=guard, spared=(*target.counts, *target.removed), measured=measured)
    choice = choose(shapes, found.groups, candidates, target.budget, counts=target.counts, removed=target.removed)
    if target.budget is not None and choice.cost is not None and choice.cost > target.budget.limit:
        asked = options.amount if options.unit == CORE_BUDGET else f"{options.unit}={options.amount}"
        raise UsageError(
            f"the budget {asked} cannot be met: {choice.note}",
            hint="Ask for less" + (f", or guard less than {', '.join(guard)} (--guard)" if guard else ""),
        )
    return choice


def _weighed_on(task: PruneTask, options: PruneOptions) -> list[tuple[Tensor, Tensor]]:
    if task.dataset is None or options.importance not in NEED_DATA:
        return []
    return list(batches(evenly(task.dataset.train, options.images), task.preprocess, batch_size=64))


def _recovered(
    pruned: nn.Module,
    teacher: nn.Module,
    task: PruneTask,
    options: PruneOptions,
    turn: tuple[int, int],
    rows: _Rows,
    row: dict[str, Any],
    context: Context,
) -> nn.Module:
    """Do what recovery there is data and leave for, and note each step."""
    if task.dataset is None:
        return pruned
    refresh_batch_norms(pruned, task.dataset.train, task.preprocess, context)
    rows.add("batch norms measured again", pruned)
    if options.recover is not None and options.recover.epochs > 0:
        result = recover(pruned, teacher, task.dataset, task.preprocess, options.recover, context, turn=turn)
        row["training"] = {"options": asdict(options.recover), "curve": list(result.curve)}
        rows.add("recovered", pruned)
    return pruned


def _told(budget: Budget | None) -> dict[str, Any] | None:
    return None if budget is None else {"unit": budget.unit, "limit": budget.limit, "whole": budget.whole}
