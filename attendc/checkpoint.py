"""Checkpoints that cannot hurt: safetensors with the Spec in its metadata, foreign files without unpickling code."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attendc.errors import CheckpointError
from attendc.files import replace_file, sha256
from attendc.models.registry import build
from attendc.reason import reason_of
from attendc.types import SPEC_KEY, Architecture, Spec

__all__ = [
    "Weights",
    "checkpoint_bytes",
    "load_model",
    "read_weights",
    "save_checkpoint",
    "spec_from_json",
    "spec_to_json",
]

_NESTED_KEYS = ("state_dict", "model", "ema")
_FEW = 3
_HARMLESS = re.compile(r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.\w+Storage")
"""What every state_dict imports."""


@dataclass(frozen=True)
class Weights:
    """What a checkpoint file holds.

    Attributes:
        tensors: name -> tensor, without `module.` prefixes.
        spec: None in a foreign file.
        sha256: of the file.
        trusted: whether it was unpickled in full because the user said so.
        notes: what was chosen or left aside while reading, in plain words.
        origin: where the weights come from if from no file: `random (seed 0), not trained`.
    """

    tensors: dict[str, Tensor]
    spec: Spec | None
    sha256: str
    trusted: bool = False
    notes: tuple[str, ...] = ()
    origin: str = ""


def spec_to_json(spec: Spec) -> str:
    """Return the Spec as JSON with sorted keys."""
    return json.dumps(dataclasses.asdict(spec), sort_keys=True)


def spec_from_json(text: str) -> Spec:
    """Read and check a Spec.

    Raises:
        CheckpointError: naming the first field that is missing or of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Spec).validate_json(text)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise CheckpointError(
            f"the Spec in the checkpoint is damaged at {where}: {first['msg']}",
            hint="Write the checkpoint again, or give --model",
        ) from e


def checkpoint_bytes(model: nn.Module, spec: Spec) -> bytes:
    """Return weights and Spec as the content of one .safetensors."""
    from safetensors.torch import save

    # Cloned, since safetensors refuses tensors that share memory (tied weights).
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    return save(tensors, metadata={SPEC_KEY: spec_to_json(spec)})


def save_checkpoint(path: Path, model: nn.Module, spec: Spec) -> None:
    """Write weights and Spec as one .safetensors, whole or not at all.

    Raises:
        OutputError: if the file cannot be written.
    """
    content = checkpoint_bytes(model, spec)
    with replace_file(path) as beside:
        beside.write_bytes(content)


def read_weights(path: Path, *, trust: bool = False, key: str = "") -> Weights:
    """Read .safetensors, or .pt/.pth without running code of its.

    `key` chooses among the state_dicts of a file that holds several.

    Raises:
        CheckpointError: if the file is missing, empty, no checkpoint, wants to import code, or holds NaN.
    """
    _check_file(path)
    if path.suffix == ".safetensors":
        if key:
            raise _no_such_key(path, key)
        tensors, spec = _read_safetensors(path)
        notes: tuple[str, ...] = ()
    elif path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        tensors, notes = _state_dict(_read_pickle(path, trust=trust), path, key)
        spec = None
    else:
        raise CheckpointError(
            f"{path} ends in {path.suffix or 'nothing'}",
            hint="A checkpoint is a .safetensors, .pt, .pth, .bin or .ckpt file",
        )
    _check_finite(tensors, path)
    return Weights(tensors, spec, sha256(path), trust, notes)


def load_model(weights: Weights, architecture: Architecture, *, allow_foreign: bool = False) -> nn.Module:
    """Build the network and fill it; every key and shape must fit.

    Raises:
        CheckpointError: naming the first keys and shapes that do not fit, and what to try.
    """
    model = build(architecture, allow_foreign=allow_foreign)
    own = model.state_dict()
    tensors = weights.tensors
    counted = {k for k in own if k.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - tensors.keys() - counted)
    extra = sorted(tensors.keys() - own.keys())
    shapes = [
        f"{k} {tuple(tensors[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in tensors and tensors[k].shape != own[k].shape
    ]
    if missing or extra or shapes:
        parts = [("missing", missing), ("not in the network", extra), ("of another shape", shapes)]
        told = "; ".join(f"{len(v)} {what}: {', '.join(v[:_FEW])}" for what, v in parts if v)
        raise CheckpointError(
            f"the weights do not fit {architecture.factory}: {told}",
            hint="Give the network they were trained with: --model NAME --model-arg KEY=VALUE (for example classes=10)",
        )
    model.load_state_dict(tensors, strict=False)
    return model.eval()


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder", hint="Give the checkpoint file in it")
    if not path.exists():
        raise CheckpointError(f"no file {path}", hint="Check the path, or train one: attendc train --help")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty", hint="Copy or save it again")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Spec | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as e:
        raise CheckpointError(
            f"{path} is no readable .safetensors: {e}", hint="It may be truncated; copy it again"
        ) from e
    text = metadata.get(SPEC_KEY)
    return _without_prefix(tensors), spec_from_json(text) if text else None


def _read_pickle(path: Path, *, trust: bool) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickles that are refused below anyway
            return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as e:
        wanted = _unsafe_globals(path, e)
        if not wanted:
            raise CheckpointError(
                f"{path} is no readable checkpoint: not as torch.save writes it by default",
                hint="Save it with torch.save(model.state_dict(), PATH), or copy it again",
            ) from e
        raise CheckpointError(
            f"{path} wants to import {', '.join(wanted)}, which could run code",
            hint="Save a plain state_dict instead, or add --trust-checkpoint if you know who made it",
        ) from e
    except Exception as e:  # a pickle, damaged or trusted with code of its own, may raise anything
        raise CheckpointError(
            f"{path} is no readable checkpoint: {type(e).__name__}: {reason_of(e)}",
            hint="It may be truncated or of another kind; copy or save it again",
        ) from e


def _unsafe_globals(path: Path, refusal: pickle.UnpicklingError) -> list[str]:
    """Return what the refused file wanted to import: torch's list, else its message, else the pickle's own ops."""
    try:
        listed = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001 - torch lists zip files only; the refusal stands either way
        listed = []
    return listed or re.findall(r"GLOBAL (\w[\w.]*)", str(refusal)) or _globals_of_pickle(path)


def _globals_of_pickle(path: Path) -> list[str]:
    """Return the names that a pickle imports beside those of every state_dict, found without running it."""
    with contextlib.suppress(Exception):  # a damaged file may raise anything; it is refused either way
        if not zipfile.is_zipfile(path):
            return _imports(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            content = next((n for n in archive.namelist() if n.endswith("data.pkl")), "")
            return _imports(archive.read(content)) if content else []
    return []


def _imports(content: bytes) -> list[str]:
    strings: list[str] = []
    memo: list[str] = []  # of what is no string: an empty entry
    found: list[str] = []
    pushed = ""
    with contextlib.suppress(ValueError, IndexError):  # where it is no pickle, or ends too soon
        for op, argument, _ in pickletools.genops(content):
            if op.name == "STACK_GLOBAL":
                found.append(".".join(strings[-2:]))
            elif op.name == "GLOBAL":
                found.append(str(argument).replace(" ", "."))
            elif op.name == "MEMOIZE":
                memo.append(pushed)
            pushed = argument if isinstance(argument, str) else ""
            if op.name in ("BINGET", "LONG_BINGET"):
                pushed = memo[int(argument or 0)]
            if pushed:
                strings.append(pushed)
    return [name for name in dict.fromkeys(found) if not _HARMLESS.fullmatch(name)]


def _state_dict(content: object, path: Path, key: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if isinstance(content, nn.Module):
        content = content.state_dict()
    if key and isinstance(content, Mapping) and _is_state_dict(content):
        raise _no_such_key(path, key)
    if isinstance(content, Mapping) and not _is_state_dict(content):
        held = [k for k in _NESTED_KEYS if k in content]
        chosen = key or (held[0] if held else "")
        if key and key not in content:
            raise _no_such_key(path, key, [k for k, v in content.items() if isinstance(v, Mapping | nn.Module)])
        if chosen not in content:
            raise CheckpointError(
                f"{path} holds {', '.join(map(repr, list(content)[:6])) or 'nothing'}, no state_dict",
                hint=f"Expected a state_dict, or one under {', '.join(_NESTED_KEYS)}; or --weights-key KEY",
            )
        others = [k for k in held if k != chosen]
        notes = (f"weights taken from {chosen!r}" + (f", not from {others}" if others else ""),)
        content = content[chosen]
        if isinstance(content, nn.Module):
            content = content.state_dict()
    if not isinstance(content, Mapping) or not _is_state_dict(content):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, no state_dict",
            hint="Save it with torch.save(model.state_dict(), PATH)",
        )
    return _without_prefix(dict(content)), notes


def _no_such_key(path: Path, key: str, held: Sequence[object] = ()) -> CheckpointError:
    return CheckpointError(
        f"{path} has no {key!r}" + (f", only {', '.join(map(repr, held))}" if held else ""),
        hint="Give another --weights-key, or none for a file of one state_dict",
    )


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop `module.`, which DataParallel and DDP put before every name."""
    if all(k.startswith("module.") for k in tensors):
        return {k.removeprefix("module."): v for k, v in tensors.items()}
    return dict(tensors)


def _check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    bad = [k for k, v in tensors.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if bad:
        raise CheckpointError(
            f"{path} has NaN or infinite weights in {', '.join(bad[:_FEW])} ({len(bad)} tensors)",
            hint="The training diverged; take an earlier checkpoint",
        )
