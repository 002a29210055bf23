"""The command `attendc`: the group, and the edge where exceptions become one line and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence

import click

from attendc import __version__
from attendc.cli.analyze import analyze_command
from attendc.cli.arm import arm_group
from attendc.cli.bench import bench_command
from attendc.cli.cache import cache_group
from attendc.cli.check import check_command
from attendc.cli.compare import compare_command
from attendc.cli.console import open_console
from attendc.cli.convert import convert_command
from attendc.cli.data import data_group
from attendc.cli.doctor import doctor_command
from attendc.cli.explore import explore_command
from attendc.cli.inspect import inspect_command
from attendc.cli.prune import prune_command
from attendc.cli.quantize import quantize_command
from attendc.cli.recipe import recipe_group
from attendc.cli.run import run_command
from attendc.cli.simplify import simplify_command
from attendc.cli.train import train_command
from attendc.cli.verify import verify_command
from attendc.errors import AttendcError, InternalError

__all__ = ["cli", "main"]

INTERRUPTED = 130
_COLLECTIONS = (50_000, 20, 20)
"""When Python looks for cyclic garbage. By its own (700, 10, 10) it walks again and again through the many objects
that torch and TensorFlow consist of and that never go; converting makes many new ones, and little garbage."""
_TORCHRUN = "TORCHELASTIC_RUN_ID"
"""Environment variable that torchrun sets in the processes that it starts."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="attendc")
def cli() -> None:
    """From a trained AttendNeXt to int8 TFLite, ONNX and TorchScript for ARM, with the proof beside the file.

    \b
    Start here:
      attendc quantize examples/attendnext_pico.safetensors --int8
    Exit codes: 0 ok, 1 internal, 2 usage, 3 checkpoint or model, 4 data, 5 cannot be converted,
    6 parity, 7 accuracy, 8 budget, 130 interrupted.
    """  # noqa: D301 - \b is for click: keep these lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


for _command in (
    quantize_command,
    run_command,
    recipe_group,
    prune_command,
    train_command,
    convert_command,
    simplify_command,
    verify_command,
    inspect_command,
    analyze_command,
    check_command,
    bench_command,
    compare_command,
    explore_command,
    data_group,
    cache_group,
    arm_group,
    doctor_command,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; of processes that torchrun started only the first one runs it."""
    gc.set_threshold(*_COLLECTIONS)
    if _TORCHRUN not in os.environ:
        return _answered(lambda: _run(arguments), arguments)
    from attendc import run_together

    if os.environ.get("RANK", "0") == "0":
        return _answered(lambda: run_together(lambda: _answered(lambda: _run(arguments), arguments)), arguments)
    return _answered(lambda: _helping(run_together), arguments)


def _run(arguments: Sequence[str] | None) -> int:
    cli.main(args=arguments, standalone_mode=False)
    return 0


def _helping(run_together: Callable[[Callable[[], int]], int]) -> int:
    """Help the first process, and print nothing but an error."""
    with open_console():
        return run_together(lambda: 0)


def _answered(command: Callable[[], int], arguments: Sequence[str] | None) -> int:
    """Return the exit code of a command, and print one line of what it raises."""
    try:
        return command()
    except AttendcError as e:
        click.echo(f"error: {e}", err=True)
        return e.exit_code
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "interrupted: nothing half-written was left behind; the same command again goes on where it stopped",
            err=True,
        )
        return INTERRUPTED
    except Exception as e:
        if {"-v", "--verbose"} & set(sys.argv if arguments is None else arguments):
            raise
        click.echo(f"internal error: {type(e).__name__}: {e}. Run again with -v and report it", err=True)
        return InternalError.exit_code


def run() -> None:
    """Be the console script."""
    sys.exit(main())
