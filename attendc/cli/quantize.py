"""`attendc quantize`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.artefact_table import print_artefacts
from attendc.cli.options import (
    BUDGETS,
    IMPORTANCES,
    artefact_options,
    checkpoint_options,
    checkpoint_request,
    classes_option,
    common_options,
    gate_options,
    gates_of,
    key_values,
    no_verify_option,
    precision_option,
    printed,
    recipe_options,
    session,
    verify_wanted,
)
from attendc.cli.step_table import print_steps
from attendc.errors import UsageError

if TYPE_CHECKING:
    from attendc import PruneOptions

__all__ = ["quantize_command"]

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class _Allowed:
    """Values that an option may have: of a kind, and within a list or from a number on."""

    kind: type | tuple[type, ...]
    told: str
    names: tuple[str, ...] = ()
    least: float | None = None

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, self.kind) or (isinstance(value, bool) and self.kind is not bool):
            return False
        return (not self.names or value in self.names) and (
            self.least is None or (isinstance(value, int | float) and value >= self.least)
        )


_PRUNE_VALUES = {
    "importance": _Allowed(str, "|".join(IMPORTANCES), names=IMPORTANCES),
    "steps": _Allowed(int, "N", least=1),
    "sensitivity": _Allowed(bool, "true"),
    "epochs": _Allowed(int, "N", least=0),
    "lr": _Allowed((int, float), "RATE", least=0),
    "batch_size": _Allowed(int, "N", least=1),
    "precision": _Allowed(str, "float32|bfloat16", names=("float32", "bfloat16")),
}


@click.command("quantize")
@click.argument("checkpoint", type=_PATH, required=False)
@click.option("--int8", is_flag=True, help="Quantize to int8 (the only way so far, so it must be said).")
@click.option(
    "--prune",
    multiple=True,
    metavar="K=V",
    help="Prune first: macs=0.5, params=, bytes= or budget=CORE:0.6; also epochs=, steps=, importance=,"
    " sensitivity=true. Repeatable.",
)
@click.option("--qat", is_flag=True, help="Train the quantized network, taught by its float self.")
@click.option("--epochs", type=click.IntRange(1), help="Of --qat.  [default: 2]")
@click.option("--lr", type=float, help="Peak learning rate of --qat.  [default: 0.0005]")
@click.option("--batch-size", type=click.IntRange(1), help="Of --qat.  [default: 64]")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]), help="Of --qat.")
@precision_option
@click.option("--calib", default="256", show_default=True, metavar="N|random", help="Calibration images, or none.")
@click.option(
    "--ranges",
    default="mse",
    show_default=True,
    type=click.Choice(["minmax", "percentile", "mse"]),
    help="How PTQ chooses the range of an activation.",
)
@artefact_options("int8,float32", "Types to write; float32 is what the proof compares sizes with.")
@checkpoint_options
@classes_option
@gate_options
@click.option("--allow-float", is_flag=True, help="Let operators that cannot be int8 stay float, and say so.")
@click.option("--no-gate", is_flag=True, help="Write the artefacts even if they fail verification.")
@no_verify_option
@click.option("--force", is_flag=True, help="Replace the output folder if attendc made it.")
@click.option("-o", "--output", type=_PATH, help="Folder to make.  [default: runs/<name of the checkpoint>-int8]")
@recipe_options
@common_options
def quantize_command(checkpoint: Path | None, **given: Any) -> None:
    """Quantize CHECKPOINT and write proven artefacts into a folder; or a --model without one, to see what it costs.

    \b
    attendc quantize examples/attendnext_pico.safetensors --int8
    attendc quantize examples/attendnext_pico.safetensors --int8 --prune macs=0.5 --qat
    attendc quantize my.pt --int8 --qat --model package.module:factory --data images/ --mean 0.5 --std 0.25
    attendc quantize --int8 --model attendnext --classes 1000 --calib random --no-verify
    """  # noqa: D301 - \b is for click: keep these lines
    if not given.pop("int8"):
        raise UsageError("say which type to quantize to", hint="Add --int8")
    with session(given, device=given.pop("device")) as (console, context):
        from attendc import QuantizeRequest, quantize_checkpoint, quantize_recipe

        print_recipe = given.pop("print_recipe")
        verify = verify_wanted(given, allowed=["images"] if given["prune"] else [])
        opened = checkpoint_request(checkpoint, given)
        output = given.pop("output") or Path("runs") / f"{opened.name}-int8"
        request = QuantizeRequest(
            opened,
            output,
            calib=_calib(given.pop("calib")),
            prune=_prune_options(given.pop("prune")),
            qat=_qat_options(given),
            gates=gates_of(given),
            gate=not given.pop("no_gate"),
            verify=verify,
            cached=not given.pop("no_cache"),
            **given,
        )
        if printed(console, quantize_recipe(request, context), wanted=print_recipe):
            return
        manifest = quantize_checkpoint(request, context)
        if console.as_json:
            console.json(manifest)
        else:
            if "steps" in manifest:
                print_steps(console, "pruning", manifest["steps"])
            print_artefacts(console, output, manifest)
            console.result(f"report: {output}/report.html")


def _calib(text: str) -> int | str:
    if text == "random":
        return text
    if not text.isdigit() or int(text) == 0:
        raise click.BadParameter(f"{text!r} is neither a number of images nor 'random'", param_hint="--calib")
    return int(text)


def _prune_options(texts: tuple[str, ...]) -> PruneOptions | None:
    """Return the options of pruning of `macs=0.5,epochs=1`; None without any."""
    if not texts:
        return None
    from dataclasses import replace

    from attendc import RECOVER_OPTIONS, PruneOptions

    values = key_values(tuple(part.strip() for text in texts for part in text.split(",")), "--prune")
    budgets = [name for name in BUDGETS if name in values]
    if len(budgets) != 1:
        named = f"several budgets: {', '.join(budgets)}" if budgets else "no budget"
        raise UsageError(
            f"--prune names {named}", hint="Give one of macs=0.5, params=0.5, bytes=100k, budget=cortex-a76:0.6"
        )
    amount = str(values.pop(budgets[0]))
    for name, value in values.items():
        if name not in _PRUNE_VALUES or value not in _PRUNE_VALUES[name]:
            allowed = "; ".join(f"{n}={v.told}" for n, v in _PRUNE_VALUES.items())
            raise UsageError(f"--prune {name}={value} is not possible", hint=f"Beside a budget it takes {allowed}")
    chosen: dict[str, Any] = {k: values.pop(k) for k in ("importance", "steps", "sensitivity") if k in values}
    loop: dict[str, Any] = values
    return PruneOptions(budgets[0], amount, recover=replace(RECOVER_OPTIONS, **loop), **chosen)


def _qat_options(given: dict[str, Any]) -> Any:
    """Return the options of training; None without --qat."""
    from dataclasses import replace

    from attendc import QAT_OPTIONS

    changes = {k: v for k in ("epochs", "lr", "batch_size", "precision") if (v := given.pop(k)) is not None}
    if given.pop("qat"):
        return replace(QAT_OPTIONS, **changes)
    if changes:
        named = ", ".join(f"--{k.replace('_', '-')}" for k in changes)
        raise UsageError(f"{named} means nothing without --qat", hint="Add --qat")
    return None
