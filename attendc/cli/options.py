"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from attendc.cli.console import Console, open_console
from attendc.context import Context
from attendc.errors import UsageError
from attendc.targets import DTYPES, FORMATS

if TYPE_CHECKING:
    from attendc import CheckpointRequest, Gates, Recipe

__all__ = [
    "BUDGETS",
    "IMPORTANCES",
    "artefact_options",
    "checkpoint_options",
    "checkpoint_request",
    "classes_option",
    "common_options",
    "console_options",
    "finite",
    "gate_options",
    "gates_of",
    "json_option",
    "key_values",
    "max_drop_option",
    "names_from",
    "no_verify_option",
    "options",
    "precision_option",
    "print_option",
    "printed",
    "recipe_options",
    "session",
    "session_of_recipe",
    "size",
    "verify_wanted",
]

F = TypeVar("F", bound=Callable[..., Any])

# Names that attendc.compress.pruning gives a meaning; it is not imported for `--help`, since torch comes with it.
BUDGETS = ("macs", "params", "bytes", "budget")
IMPORTANCES = ("l1", "l2", "taylor", "bn", "activation")


def options(*given: Callable[[F], F]) -> Callable[[F], F]:
    """Join option decorators into one; they show in `--help` in this order."""

    def decorate(command: F) -> F:
        for option in reversed(given):
            command = option(command)
        return command

    return decorate


def finite(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    """Refuse nan, which is in every range of click's and fails no gate, and the infinities."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
console_options = options(
    json_option,
    click.option("-v", "--verbose", is_flag=True, help="Show what the libraries print."),
    click.option("-q", "--quiet", is_flag=True, help="No progress, no log."),
)

common_options = options(
    click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Of every random choice."
    ),
    click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all]"),
    console_options,
)

precision_option = click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    help="Of training; weights stay float32.  [default: float32]",
)

print_option = click.option(
    "--print-recipe", is_flag=True, help="Print the recipe that this command is, and do nothing."
)
recipe_options = options(
    click.option("--no-cache", is_flag=True, help="Do everything anew, and keep nothing for the next time."),
    print_option,
)

checkpoint_options = options(
    click.option("--model", default="", help="Preset, YAML file, or package.module:factory.  [default: checkpoint's]"),
    click.option("--model-arg", "model_args", multiple=True, metavar="K=V", help="Argument of the model; repeatable."),
    click.option("--weights-key", default="", help="Which state_dict of a file that holds several."),
    click.option("--trust-checkpoint", "trust", is_flag=True, help="Unpickle in full: this can run code."),
    click.option("--input-shape", default="", metavar="CxHxW", help="Of a checkpoint without a Spec."),
    click.option("--mean", default="", metavar="A,B,C", help="Per channel in 0..1; or one for all."),
    click.option("--std", default="", metavar="A,B,C", help="Per channel in 0..1; or one for all."),
    click.option("--fit", type=click.Choice(["pad", "resize", "crop", "none"]), help="How images get their size."),
    click.option(
        "--data", default="", help="Built-in set, folder, shards, or .npz.  [default: as the checkpoint says]"
    ),
)


def artefact_options(dtypes: str, dtypes_help: str) -> Callable[[F], F]:
    """Return --to, --dtype, --io and what is asked of ONNX, with the types that a command writes by default."""
    return options(
        click.option(
            "--to",
            "formats",
            default="tflite,onnx,torchscript",
            show_default=True,
            callback=names_from(FORMATS),
            help="Formats to write; savedmodel too.",
        ),
        click.option(
            "--dtype",
            "dtypes",
            default=dtypes,
            show_default=True,
            callback=names_from(DTYPES),
            help=dtypes_help,
        ),
        click.option(
            "--io",
            default="int8",
            show_default=True,
            type=click.Choice(["int8", "uint8", "float32"]),
            help="Type of the int8 TFLite file's input and output.",
        ),
        click.option("--opset", type=click.IntRange(17, 25), help="Of ONNX.  [default: 18]"),
        click.option("--ir-version", type=click.IntRange(8, 13), help="Of the ONNX file.  [default: as the opset]"),
    )


def max_drop_option(text: str) -> Callable[[F], F]:
    """Return --max-drop, with what it means to a command."""
    return click.option(
        "--max-drop", default=1.0, show_default=True, type=float, callback=finite, metavar="POINTS", help=text
    )


gate_options = options(
    click.option("--images", type=click.IntRange(1), help="Images to verify on.  [default: 2000, large networks 500]"),
    click.option(
        "--min-agreement",
        default=0.99,
        show_default=True,
        type=click.FloatRange(0, 1),
        callback=finite,
        help="Least top-1 agreement of files with their graph.",
    ),
    max_drop_option("Accuracy int8 may lose."),
)


classes_option = click.option(
    "--classes", type=click.IntRange(1), help="Outputs of a --model without a checkpoint.  [default: the preset's]"
)
no_verify_option = click.option("--no-verify", is_flag=True, help="Prove nothing, and say so in every artefact.")


def verify_wanted(given: dict[str, Any], *, allowed: Sequence[str] = ()) -> bool:
    """Take --no-verify out of `given`, and return whether there is a proof.

    Raises:
        UsageError: if there is none, but an option of it is given that is not `allowed`.
    """
    if not given.pop("no_verify"):
        return True
    told = click.get_current_context().get_parameter_source
    for name in ("images", "min_agreement", "max_drop", "no_gate"):
        if name in given and name not in allowed and told(name) is not ParameterSource.DEFAULT:
            raise UsageError(f"--{name.replace('_', '-')} means nothing with --no-verify", hint="Leave out one of them")
    return False


def checkpoint_request(path: Path | None, given: dict[str, Any]) -> CheckpointRequest:
    """Take the checkpoint options out of `given`.

    Raises:
        UsageError: if there is neither a path nor a model, or --classes where it means nothing.
    """
    from attendc import CheckpointRequest

    classes = given.pop("classes", None)
    if path is None and not given["model"]:
        raise UsageError("no checkpoint is given", hint="Give one, or --model PRESET for random weights")
    if path is not None and classes is not None:
        raise UsageError(
            f"--classes {classes} is of a --model without a checkpoint",
            hint="Leave it out; a checkpoint that does not tell its classes takes --model-arg classes=N",
        )
    return CheckpointRequest(
        path,
        given.pop("model"),
        key_values(given.pop("model_args")),
        given.pop("weights_key"),
        given.pop("trust"),
        _shape(given.pop("input_shape")),
        _numbers(given.pop("mean")),
        _numbers(given.pop("std")),
        given.pop("fit"),
        given.pop("data"),
        classes,
    )


def gates_of(given: dict[str, Any]) -> Gates:
    """Take the gates out of `given`."""
    from attendc import Gates

    return Gates(given.pop("min_agreement"), given.pop("max_drop"))


def key_values(texts: tuple[str, ...], option: str = "--model-arg") -> dict[str, object]:
    """Return {K: V} of `K=V` texts; a V that is JSON (a number, a list, true) becomes that, else it stays text."""
    values: dict[str, object] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise click.BadParameter(f"{text!r} is not K=V", param_hint=option)
        try:
            values[key] = json.loads(value)
        except json.JSONDecodeError:
            values[key] = value
    return values


def names_from(allowed: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """Return a callback that splits `a,b` and checks each name."""

    def split(_: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(n.strip() for n in text.split(",") if n.strip()))
        wrong = [n for n in names if n not in allowed]
        if wrong or not names:
            raise click.BadParameter(f"{', '.join(wrong) or 'nothing'}: choose from {', '.join(allowed)}")
        return names

    return split


def size(text: str) -> tuple[int, int] | None:
    """Return (H, W) of `HxW`; None of an empty text."""
    sizes = _sizes(text, 2, "HxW, for example 32x32")
    return (sizes[0], sizes[1]) if sizes else None


def _shape(text: str) -> tuple[int, int, int] | None:
    sizes = _sizes(text.replace(",", "x"), 3, "CxHxW, for example 3x224x224")
    return (sizes[0], sizes[1], sizes[2]) if sizes else None


def _sizes(text: str, count: int, form: str) -> list[int]:
    parts = text.lower().split("x") if text else []
    if text and (len(parts) != count or not all(p.isdigit() and int(p) > 0 for p in parts)):
        raise click.BadParameter(f"{text!r} is not {form}")
    return [int(p) for p in parts]


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(p) for p in text.split(",")) if text else ()
    except ValueError as e:
        raise click.BadParameter(f"{text!r} is not a list of numbers, for example 0.5,0.5,0.5") from e


@contextmanager
def session(given: dict[str, Any], *, device: str = "cpu") -> Iterator[tuple[Console, Context]]:
    """Open the console and the context of one command; takes the common options out of `given`."""
    threads, seed = given.pop("threads"), given.pop("seed")
    with open_console(verbose=given.pop("verbose"), quiet=given.pop("quiet"), as_json=given.pop("as_json")) as console:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        yield console, Context(seed, device, console.progress, console.say, threads=threads)


@contextmanager
def session_of_recipe(given: dict[str, Any]) -> Iterator[tuple[Console, Context]]:
    """Open the console and the context of a command that has no seed and no threads of its own: the recipe has."""
    shown = {name: given.pop(name, False) for name in ("verbose", "quiet", "as_json")}
    with open_console(**shown) as console:
        yield console, Context(progress=console.progress, say=console.say)


def printed(console: Console, recipe: Recipe, *, wanted: bool) -> bool:
    """Print the recipe that a command is, if that is what was asked for, and return whether it was.

    Raises:
        RecipeError: if options have values that no recipe may have.
    """
    if wanted:
        from attendc import recipe_from_text, recipe_to_data, recipe_to_yaml

        text = recipe_to_yaml(recipe)
        recipe_from_text(text, file="the recipe of this command")
        if console.as_json:
            console.json(recipe_to_data(recipe))
        else:
            console.result(text.rstrip("\n"))
    return wanted
