"""`attendc prune`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from attendc.cli.options import (
    BUDGETS,
    IMPORTANCES,
    checkpoint_options,
    checkpoint_request,
    common_options,
    finite,
    options,
    precision_option,
    printed,
    recipe_options,
    session,
)
from attendc.cli.step_table import print_plan, print_refused, print_steps
from attendc.errors import UsageError

if TYPE_CHECKING:
    from attendc import PruneOptions, TrainOptions

__all__ = ["prune_command"]

_PATH = click.Path(path_type=Path)
_CHOICE = (*BUDGETS, "keep", "importance", "sensitivity", "guard", "no_guard", "steps")
"""What only a choice of channels goes by."""
_DEFAULTS = {"importance": "taylor", "steps": 1}

_choice_options = options(
    click.option("--macs", metavar="PART|N", help="Budget: 0.5 of the multiply-accumulates, or 6M of them."),
    click.option("--params", metavar="PART|N", help="Budget: 0.25 of the parameters, or 50k of them."),
    click.option("--bytes", metavar="PART|N", help="Budget: bytes of the int8 TFLite file, as estimated: 100k."),
    click.option("--budget", metavar="CORE:PART|N", help="Budget: instructions of a core, estimated: cortex-a76:0.6."),
    click.option("--keep", multiple=True, metavar="LAYER=PART", help="By hand; a block's 0 removes it. Repeatable."),
    click.option(
        "--importance",
        default=_DEFAULTS["importance"],
        show_default=True,
        type=click.Choice(IMPORTANCES),
        help="How channels are weighed.",
    ),
    click.option("--sensitivity", is_flag=True, help="Choose by the loss measured part by part (attendc analyze)."),
    click.option(
        "--guard",
        multiple=True,
        metavar="NAME",
        help="Layer or module that stays.  [default: stem, stage 1; with --budget nothing]",
    ),
    click.option("--no-guard", is_flag=True, help="Let everything be pruned."),
    click.option(
        "--steps", default=_DEFAULTS["steps"], show_default=True, type=click.IntRange(1), help="Rounds to the budget."
    ),
)
_recovery_options = options(
    click.option("--epochs", type=click.IntRange(0), help="Of recovery, in all rounds together.  [default: 2]"),
    click.option("--lr", type=float, help="Peak learning rate of recovery.  [default: 0.004]"),
    click.option("--batch-size", type=click.IntRange(1), help="Of recovery.  [default: 64]"),
    click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]), help="Of recovery."),
    precision_option,
)
_mask_options = options(
    click.option(
        "--unstructured",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        callback=finite,
        metavar="PART",
        help="Zero the smallest weights instead; files and times stay as they are.",
    ),
    click.option("--two-four", is_flag=True, help="Zero two of every four weights instead; the same holds."),
)


@click.command("prune")
@click.argument("checkpoint", type=_PATH)
@_choice_options
@_recovery_options
@_mask_options
@click.option("--plan", type=_PATH, help="Apply this plan instead of choosing.")
@click.option("--plan-only", is_flag=True, help="Show what would go and write the plan to -o; prune nothing.")
@checkpoint_options
@click.option("--force", is_flag=True, help="Replace existing outputs.")
@click.option("-o", "--output", type=_PATH, help="The .safetensors to write.  [default: <name>-pruned.safetensors]")
@recipe_options
@common_options
def prune_command(checkpoint: Path, **given: Any) -> None:
    """Take channels and blocks out of CHECKPOINT until it meets a budget, and train what is left.

    \b
    attendc prune examples/attendnext_nano.safetensors --macs 0.5 -o pruned.safetensors
    attendc prune examples/attendnext_nano.safetensors --bytes 100k --plan-only -o plan.json
    attendc prune examples/attendnext_nano.safetensors --budget cortex-a76:0.6 -o pruned.safetensors
    attendc prune examples/attendnext_nano.safetensors --plan plan.json -o pruned.safetensors
    """  # noqa: D301 - \b is for click: keep these lines
    with session(given, device=given.pop("device")) as (console, context):
        masks = _masks(given)
        source = checkpoint_request(checkpoint, given)
        output = given.pop("output") or (None if given["plan_only"] else _beside(checkpoint))
        recover = _recover_options(given)
        print_recipe, given["cached"] = given.pop("print_recipe"), not given.pop("no_cache")
        if masks is not None:
            from attendc import MaskRequest, mask_checkpoint, mask_recipe

            _check_masks(given)
            place, force, cached = output or _beside(checkpoint), given["force"], given["cached"]
            masking = MaskRequest(source, place, *masks, recover, force, cached)
            if printed(console, mask_recipe(masking, context), wanted=print_recipe):
                return
            manifest = mask_checkpoint(masking, context)
        else:
            from attendc import PruneRequest, prune_checkpoint, prune_recipe

            options_ = _prune_options(given, recover)
            pruning = PruneRequest(source, output, options_, **given)
            if printed(console, prune_recipe(pruning, context), wanted=print_recipe):
                return
            manifest = prune_checkpoint(pruning, context)
        if console.as_json:
            console.json(manifest)
        elif given["plan_only"]:
            print_plan(console, manifest)
        else:
            print_steps(console, str(output), manifest["steps"])
            print_refused(console, manifest.get("refused", {}))


def _beside(checkpoint: Path) -> Path:
    return Path(f"{checkpoint.stem}-pruned.safetensors")


def _recover_options(given: dict[str, Any]) -> TrainOptions:
    from dataclasses import replace

    from attendc import RECOVER_OPTIONS

    names = ("epochs", "lr", "batch_size", "precision")
    return replace(RECOVER_OPTIONS, **{k: v for k in names if (v := given.pop(k)) is not None})


def _prune_options(given: dict[str, Any], recover: TrainOptions) -> PruneOptions:
    """Take what says how to prune out of `given`."""
    from attendc import PruneOptions

    _check_plan(given)
    budgets = {name: given.pop(name) for name in BUDGETS}
    asked = {name: text for name, text in budgets.items() if text is not None}
    keep, guard, no_guard = given.pop("keep"), given.pop("guard"), given.pop("no_guard")
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(f'--{n}' for n in asked)} are two budgets", hint="Give one of them")
    if guard and no_guard:
        raise UsageError("--guard and --no-guard contradict each other", hint="Leave out one of them")
    unit, amount = next(iter(asked.items()), ("", ""))
    return PruneOptions(
        unit,
        amount,
        given.pop("importance"),
        keep=_parts(keep),
        guard=() if no_guard else tuple(guard) or None,
        steps=given.pop("steps"),
        sensitivity=given.pop("sensitivity"),
        recover=recover,
    )


def _parts(texts: tuple[str, ...]) -> dict[str, float]:
    parts: dict[str, float] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        try:
            parts[name] = float(value)
        except ValueError as e:
            raise click.BadParameter(f"{text!r} is not LAYER=PART", param_hint="--keep") from e
        if not separator or not name:
            raise click.BadParameter(f"{text!r} is not LAYER=PART", param_hint="--keep")
    return parts


def _masks(given: dict[str, Any]) -> tuple[Literal["2:4", "unstructured"], float] | None:
    """Return (kind, part) of the masks that are asked for."""
    part, two_four = given.pop("unstructured"), given.pop("two_four")
    if part is not None and two_four:
        raise UsageError("--unstructured and --two-four are two kinds of masks", hint="Give one of them")
    return ("2:4", 0.5) if two_four else ("unstructured", part) if part is not None else None


def _check_plan(given: dict[str, Any]) -> None:
    if given["plan"] is None:
        return
    if given["plan_only"]:
        raise UsageError("--plan-only makes a plan, and --plan gives one", hint="Leave out one of them")
    if named := _named(given, _CHOICE):
        raise UsageError("--plan says what goes already", hint=f"Leave out {named}, or --plan")


def _named(given: dict[str, Any], names: Sequence[str]) -> str:
    """Return which of these options are given, as typed."""
    return ", ".join(f"--{n.replace('_', '-')}" for n in names if given[n] and given[n] != _DEFAULTS.get(n))


def _check_masks(given: dict[str, Any]) -> None:
    if named := _named(given, (*_CHOICE, "plan", "plan_only")):
        raise UsageError(f"masks do not go with {named}", hint="Prune channels first, then mask the pruned checkpoint")
