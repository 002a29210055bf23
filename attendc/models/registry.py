"""From an Architecture to a network: presets, of files too, and factories of the user's own (`package.module:f`)."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import sys
from pathlib import Path

from torch import nn

from attendc.errors import CheckpointError, UsageError
from attendc.models.attendnext import PRESETS, AttendNeXtConfig, attendnext_from_config
from attendc.models.preset_file import FAMILY, read_preset
from attendc.models.surgery import operate
from attendc.recipe import is_preset_file
from attendc.types import Architecture

__all__ = ["build", "config_of", "input_of", "resolve"]

_INPUTS = {"attendnext_nano": (1, 32, 32), "attendnext_nano_arm": (1, 32, 32)}
"""(C, H, W) of the presets that are not for (3, 224, 224)."""


def resolve(name: str, arguments: dict[str, object], *, classes: int | None = None) -> Architecture:
    """Return the Architecture that `--model NAME --model-arg K=V` means, with a preset spelled out as its config.

    NAME is a preset, the path of a .yaml with one, or `package.module:function`.

    Raises:
        UsageError: if NAME is nothing of that, its file has faults, or a K is no field of the config.
    """
    if ":" in name and not is_preset_file(name):
        return Architecture(name, dict(arguments))
    fields = dataclasses.asdict(config_of(name))
    unknown = arguments.keys() - fields.keys()
    if unknown:
        raise UsageError(f"{name} has no {', '.join(sorted(unknown))}", hint=f"It takes {', '.join(fields)}")
    fields |= arguments
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}  # as JSON keeps them
    if classes is not None:
        fields["classes"] = classes
    return Architecture(FAMILY, fields)


def input_of(name: str) -> tuple[int, int, int]:
    """Return (C, H, W) of a preset; of a factory, which does not say, what is usual.

    Raises:
        UsageError: if it is a file, and has faults.
    """
    if is_preset_file(name):
        preset = read_preset(Path(name))
        return (preset.config.in_channels, preset.height, preset.width)
    return _INPUTS.get(name, (3, 224, 224))


def config_of(name: str) -> AttendNeXtConfig:
    """Return what a preset says, of a file too.

    Raises:
        UsageError: if there is none, or its file has faults.
    """
    if is_preset_file(name):
        return read_preset(Path(name)).config
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, 1)
        raise UsageError(
            f"no model {name!r}",
            hint=(f"Did you mean {close[0]}? " if close else "")
            + f"Presets: {', '.join(PRESETS)}; or give a .yaml with one, or package.module:factory",
        )
    return PRESETS[name]


def build(architecture: Architecture, *, allow_foreign: bool = False) -> nn.Module:
    """Build the network with fresh weights, and with what pruning left of it.

    A foreign factory is code of somebody's: it is imported only where the user named it on this very command,
    never because a checkpoint says so.

    Raises:
        CheckpointError: if the factory may not be, or cannot be, imported and called, or builds another network
            than the one that was pruned.
    """
    model = _built(architecture, allow_foreign=allow_foreign)
    operate(model, architecture.surgery)
    return model


def _built(architecture: Architecture, *, allow_foreign: bool) -> nn.Module:
    if not architecture.is_foreign:
        if architecture.factory != FAMILY:
            raise CheckpointError(f"this attendc knows no architecture {architecture.factory!r}")
        try:
            return attendnext_from_config(**architecture.args)
        except (TypeError, ValueError, KeyError, RuntimeError, ArithmeticError) as e:
            raise CheckpointError(
                f"cannot build {architecture.factory} with {architecture.args}: {type(e).__name__}: {e}",
                hint="Check the --model-arg values",
            ) from e
    if not allow_foreign:
        raise CheckpointError(
            f"the checkpoint asks to import {architecture.factory}, which is code",
            hint=f"If you trust it, repeat the command with --model {architecture.factory}",
        )
    return _call_factory(architecture)


def _call_factory(architecture: Architecture) -> nn.Module:
    module_name, _, function = architecture.factory.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), function)
        model = factory(**architecture.args)
    except Exception as e:
        raise CheckpointError(
            f"--model {architecture.factory} failed: {type(e).__name__}: {e}",
            hint="It must be an importable function that returns a torch.nn.Module",
        ) from e
    if not isinstance(model, nn.Module):
        raise CheckpointError(f"--model {architecture.factory} returned {type(model).__name__}, not a torch.nn.Module")
    return model
