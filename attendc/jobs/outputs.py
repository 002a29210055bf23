"""Where a job that makes a checkpoint writes it, and the JSON that goes beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attendc.errors import OutputError
from attendc.files import check_writable, replace_file

__all__ = ["check_new", "checkpoint_outputs", "write_text", "write_together", "write_with_manifest"]


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


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    write_together({path: text.encode()})


def write_with_manifest(contents: Mapping[Path, bytes], path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write files and the manifest that lists them, all or none; return the manifest with its list of "outputs".

    Raises:
        OutputError: if one cannot be written; what was there stays then.
    """
    outputs = {p.name: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for p, c in contents.items()}
    told = {**manifest, "outputs": outputs}
    text = json.dumps(told, indent=2, default=str) + "\n"
    write_together({**contents, path: text.encode()})
    return told


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write each beside its place first: they take their places when all of them are on the disk.

    Raises:
        OutputError: if one cannot be written.
    """
    with ExitStack() as stack:
        for path, content in contents.items():
            stack.enter_context(replace_file(path)).write_bytes(content)
