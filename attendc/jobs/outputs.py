"""Where a job that makes a checkpoint writes it, and the JSON that goes beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attendc.errors import OutputError
from attendc.files import check_writable, replace_file

__all__ = ["check_new", "checkpoint_outputs", "write_json", "write_text"]


def checkpoint_outputs(output: Path, beside: Sequence[str], *, force: bool) -> dict[str, Path]:
    """Return {"checkpoint": output, "plan": output with .plan.json, ...}, after a look whether they can be written.

    Raises:
        OutputError: if the suffix is wrong, one exists without `force`, or cannot be written.
    """
    if output.suffix != ".safetensors":
        raise OutputError(f"{output} does not end in .safetensors")
    paths = {"checkpoint": output} | {name: output.with_suffix(f".{name}.json") for name in beside}
    for path in paths.values():
        check_new(path, force=force)
    return paths


def check_new(path: Path, *, force: bool) -> None:
    """Check that a file can be written, and replaces none unless `force` says so.

    Raises:
        OutputError: if not.
    """
    check_writable(path)
    if path.exists() and not force:
        raise OutputError(f"{path} exists already", hint="Add --force to replace it")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    with replace_file(path) as beside:
        beside.write_text(text, encoding="utf-8")
