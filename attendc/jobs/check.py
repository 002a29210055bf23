"""The job of `attendc check`: what TFLite files will cost on ARM cores, without a device and without an emulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc.arm.check.check import broken, check_file
from attendc.arm.check.conditions import condition
from attendc.arm.cores import core_of
from attendc.context import Context
from attendc.errors import BudgetError, UsageError
from attendc.manifest import read_manifest

__all__ = ["CheckRequest", "check_conditions", "check_files"]

_SUFFIX = ".tflite"
_OTHERS = (".onnx", ".pt2", ".pt", ".pth", ".bin", ".ckpt", ".safetensors")


@dataclass(frozen=True)
class CheckRequest:
    """What to check.

    Attributes:
        files: .tflite files, and folders that attendc made, of which all TFLite files are.
        cores: by their names.
        fail_on: conditions as `partitions>1`, see `attendc.arm.check.conditions`.
    """

    files: tuple[Path, ...]
    cores: tuple[str, ...]
    fail_on: tuple[str, ...] = ()


def check_files(request: CheckRequest, context: Context) -> dict[str, Any]:
    """Return `files`, an entry for each as `Checked.as_json`, and `broken`, a sentence for each condition that holds.

    Raises:
        UsageError: if a core or a condition is none, or a file is of another format.
        CheckpointError: if a file is missing or damaged, or the runtime refuses it.
    """
    conditions = [condition(text) for text in request.fail_on]
    cores = [core_of(name).name for name in dict.fromkeys(request.cores)]
    files = [file for path in request.files for file in _files(path)]
    found = []
    with context.progress("checking", len(files)) as advance:
        for file in files:
            found.append(check_file(file, cores))
            advance(1, file.name)
    sentences = [sentence for one in found for sentence in broken(one, conditions)]
    return {"files": [one.as_json() for one in found], "broken": sentences}


def check_conditions(found: Mapping[str, Any]) -> None:
    """Refuse what `check_files` found, if a condition holds.

    Raises:
        BudgetError: with all that do.
    """
    if found["broken"]:
        raise BudgetError("; ".join(found["broken"]), hint="The advice says what would spare most")


def _files(path: Path) -> list[Path]:
    """Return the TFLite files meant: itself, or those of a folder."""
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        files = [path / name for name in read_manifest(path)["outputs"] if name.endswith(_SUFFIX)]
        if not files:
            raise UsageError(f"{path} holds no TFLite file", hint="Write one: attendc convert --to tflite")
        return files
    if path.is_dir() or path.suffix in _OTHERS:
        raise UsageError(
            f"{path} is no TFLite file: check reads those alone", hint="Write one: attendc convert --to tflite"
        )
    return [path]
