"""The step `prune`: channels and blocks go until a budget is met; then what is left is trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from attendc.artefacts import checkpoint_entry
from attendc.checkpoint import save_checkpoint
from attendc.compress.capture import check_classifier, probe
from attendc.compress.pruning.amount import as_typed, unit_of
from attendc.compress.pruning.dependencies import Dependencies
from attendc.compress.pruning.plan import PrunePlan, plan_from_json, plan_to_json
from attendc.compress.pruning.prune import Pruned, PruneOptions, PruneTask, plan_pruning, prune_network
from attendc.compress.pruning.select import Rows
from attendc.context import Context
from attendc.data.images import Dataset, Images, evenly
from attendc.errors import UsageError
from attendc.manifest import versions
from attendc.models.surgery import merged
from attendc.opening import Opened, check_outputs, dataset_of, open_told
from attendc.parity import default_images
from attendc.stages.analyze import pruning_sensitivity
from attendc.stages.loop import loop_fields, loop_options
from attendc.stages.prune_config import PruneConfig
from attendc.stages.work import CHECKPOINT, Made, Work
from attendc.types import Spec

__all__ = ["PLAN", "PRUNED", "PrunedNetwork", "prune", "prune_config", "run"]

PRUNED, PLAN = "model.pruned.safetensors", "plan.json"
_BUDGETS: tuple[Literal["macs", "params", "bytes", "budget"], ...] = ("macs", "params", "bytes", "budget")
_HOW_MUCH = "Add --macs 0.5, --params, --bytes, --budget or --keep LAYER=0.5"


@dataclass(frozen=True)
class PrunedNetwork:
    """What `prune` returns.

    Attributes:
        opened: the pruned network in eval mode, with a Spec that tells its shapes and what was done.
        plan: which channels stayed and which blocks went, in those of the network as it was.
        steps: a row after each step: `step`, `macs`, `params`, with data `accuracy` (0..1), and with a core's budget
            `instructions`, as estimated.
        rounds: budget, cost reached, curve of the choice and of training, round by round.
        refused: name of what cannot be pruned -> why.
    """

    opened: Opened
    plan: PrunePlan
    steps: tuple[dict[str, Any], ...]
    rounds: tuple[dict[str, Any], ...]
    refused: Mapping[str, str]


def prune(
    opened: Opened,
    config: PruneConfig | None = None,
    context: Context | None = None,
    *,
    dataset: Dataset | None = None,
) -> PrunedNetwork:
    """Return a smaller copy of a network, trained on the data that its Spec names.

        smaller = attendc.prune(attendc.load_checkpoint("ckpt.safetensors"), attendc.PruneConfig(macs=0.5))

    Args:
        opened: the network with its Spec.
        config: what to take out, and how to train what is left.
        context: seed, device, progress.
        dataset: instead of the one that the Spec names.

    Raises:
        UsageError: if a budget cannot be met, or names are not in the network.
        DataError: if images are needed and there are none.
        CheckpointError: if the network cannot be grouped.
    """
    config, context = config or PruneConfig(), context or Context()
    dataset = dataset or dataset_of(opened.spec, seed=context.seed)
    options = prune_options(config)
    given = plan_from_json(_plan_text(config.plan)) if config.plan else None
    task = _task(opened, dataset, options, context)
    task = dataclasses.replace(task, judged=_judged(opened, dataset, config))
    pruned = prune_network(opened.model, task, options, context, given=given)
    spec = _pruned_spec(opened.spec, options, pruned, context)
    smaller = dataclasses.replace(opened, model=pruned.model, spec=spec)
    return PrunedNetwork(smaller, pruned.plan, pruned.steps, pruned.rounds, pruned.refused)


def run(config: PruneConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: `model.pruned.safetensors` and `plan.json`."""
    opened = open_told(work.checkpoint_request(), context)
    config = _with_core(config, work.core)
    if config.plan_only:
        return _choice(opened, config, folder, context)
    pruned = prune(opened, config, context)
    (folder / PLAN).write_text(plan_to_json(pruned.plan), encoding="utf-8")
    save_checkpoint(folder / PRUNED, pruned.opened.model, pruned.opened.spec)
    told = {
        "outputs": {PRUNED: checkpoint_entry(folder / PRUNED)},
        "pruning": {
            "plan": json.loads(plan_to_json(pruned.plan)),
            "rounds": list(pruned.rounds),
            "refused": dict(pruned.refused),
        },
        "steps": list(pruned.steps),
        "curves": _curves(pruned.rounds),
        "versions": versions(("torch-pruning",)),
    }
    facts: dict[str, Any] = {CHECKPOINT: PRUNED, "last_step": pruned.steps[-1]}
    if config.images is None:  # that of the network as it was, so that one set of images judges all steps
        facts["images"] = default_images(opened.model, opened.spec.preprocess)
    if pruned.rounds[-1]["budget"] is not None:
        facts["budget"] = pruned.rounds[-1]["budget"]
    return Made(told, facts)


def _with_core(config: PruneConfig, core: str) -> PruneConfig:
    """Return the config whose budget names a core: the recipe's, if it names none itself."""
    if config.budget is None or not core or ":" in str(config.budget):
        return config
    return dataclasses.replace(config, budget=f"{core}:{as_typed(config.budget)}")


def prune_options(config: PruneConfig) -> PruneOptions:
    """Return the options of the pruner.

    Raises:
        UsageError: if there are two budgets.
    """
    budgets = [name for name in _BUDGETS if getattr(config, name) is not None]
    if len(budgets) > 1:
        raise UsageError(f"{' and '.join(budgets)} are two budgets", hint="Give one of them")
    unit, amount = (budgets[0], as_typed(getattr(config, budgets[0]))) if budgets else ("", "")
    if not budgets and not config.keep and not config.plan:
        raise UsageError("nothing says how much to prune", hint=_HOW_MUCH)
    return PruneOptions(
        unit,
        amount,
        config.importance,
        config.importance_images,
        dict(config.keep),
        config.guard,
        config.steps,
        config.sensitivity,
        loop_options(config),
    )


def prune_config(options: PruneOptions, **more: Any) -> PruneConfig:
    """Return the config of these options of the pruner; the opposite of `prune_options`.

    Raises:
        UsageError: if there is no such budget.
    """
    if options.unit and options.unit not in _BUDGETS:
        raise UsageError(f"no budget is counted in {options.unit!r}", hint=f"Budgets are {', '.join(_BUDGETS)}")
    loop = loop_fields(options.recover) if options.recover is not None else {"epochs": 0}
    budget = {options.unit: options.amount} if options.unit else {}
    return PruneConfig(
        keep=options.keep,
        guard=options.guard,
        importance=options.importance,
        importance_images=options.images,
        sensitivity=options.sensitivity,
        steps=options.steps,
        **budget,  # type: ignore[arg-type]
        **loop,
        **more,
    )


def _choice(opened: Opened, config: PruneConfig, folder: Path, context: Context) -> Made:
    """Choose, write the plan, and leave the network as it is."""
    options = prune_options(config)
    task = _task(opened, dataset_of(opened.spec, seed=context.seed), options, context)
    choice, found = plan_pruning(opened.model, task, options, context)
    (folder / PLAN).write_text(plan_to_json(choice.plan), encoding="utf-8")
    choice_told = {
        "plan": json.loads(plan_to_json(choice.plan)),
        "curve": list(choice.curve),
        "unit": unit_of(options.unit, options.amount) if options.unit else "",
        "cost": choice.cost,
        "part": choice.curve[-1]["cost"] if choice.curve else None,
        "note": choice.note,
        "refused": dict(found.refused),
    }
    return Made({"choice": choice_told})


def _judged(opened: Opened, dataset: Dataset | None, config: PruneConfig) -> Images | None:
    if dataset is None:
        return None
    return evenly(dataset.test, config.images or default_images(opened.model, opened.spec.preprocess))


def _task(opened: Opened, dataset: Dataset | None, options: PruneOptions, context: Context) -> PruneTask:
    """Return what pruning works on, after a look whether the network and the data go together."""

    def measure(model: nn.Module, found: Dependencies) -> Rows:
        assert dataset is not None
        # Only the checkpoint itself is known by a hash that a cache can go by.
        now = dataclasses.replace(opened, model=model)
        cached = model is opened.model
        return pruning_sensitivity(now, found, dataset, options.importance, context, cached=cached)

    preprocess = opened.spec.preprocess
    sample = probe(preprocess)
    check_classifier(opened.model, sample)
    if dataset is not None:
        check_outputs(opened.model, opened.spec, dataset)
    return PruneTask(sample, preprocess, dataset, measure=measure)


def _pruned_spec(spec: Spec, options: PruneOptions, pruned: Pruned, context: Context) -> Spec:
    """Return the Spec of the pruned network: its architecture as it is now, and what was done."""
    surgery = merged(spec.architecture.surgery, pruned.surgery)
    architecture = dataclasses.replace(spec.architecture, surgery=surgery)
    told = dataclasses.asdict(options)
    steps = [dict(row) for row in pruned.steps]
    return dataclasses.replace(spec, architecture=architecture).after(
        step="prune", seed=context.seed, options=told, results=steps
    )


def _curves(rounds: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Return the curves of recovery, for the report."""
    trained = [(n, r["training"]["curve"]) for n, r in enumerate(rounds, 1) if "training" in r]
    several = len(rounds) > 1
    return [{"title": f"recovery, round {n}" if several else "recovery", "rows": list(c)} for n, c in trained]


def _plan_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"the plan {path} cannot be read: {e}", hint="attendc prune --plan-only writes one") from e
