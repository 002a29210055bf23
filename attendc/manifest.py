"""The manifest: what went in, what was done with which versions, what came out, and whether it was proven."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from attendc import __version__
from attendc.errors import CheckpointError
from attendc.files import tree_bytes
from attendc.locations import content_hash

__all__ = ["MANIFEST", "file_entry", "manifest_text", "read_manifest", "versions", "write_manifest"]

MANIFEST = "manifest.json"
_PACKAGES = (
    "torch",
    "torchao",
    "nncf",
    "litert-torch",
    "ai-edge-litert",
    "tensorflow",
    "onnx",
    "onnxruntime",
    "onnxsim",
    "numpy",
)


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the installed version of each package that the work depends on."""
    return {"attendc": __version__, **{name: metadata.version(name) for name in packages}}


def file_entry(path: Path) -> dict[str, Any]:
    """Return {"sha256", "bytes"} of a file, or of a folder with all that is in it."""
    size = tree_bytes(path) if path.is_dir() else path.stat().st_size
    return {"sha256": content_hash(path, error=CheckpointError), "bytes": size}


def manifest_text(content: Mapping[str, Any]) -> str:
    """Return the content of `manifest.json`."""
    return json.dumps(content, indent=2, default=str) + "\n"


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `manifest.json` into a folder."""
    (folder / MANIFEST).write_text(manifest_text(content), encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder that attendc made.

    Raises:
        CheckpointError: if there is none, or it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {MANIFEST}", hint="Give a folder that attendc made")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for entry in (*content["outputs"].values(), content.get("verification") or {}, content.get("inputs") or {}):
            entry.keys()
    except (ValueError, KeyError, AttributeError, TypeError) as e:
        raise CheckpointError(f"{path} is damaged: {e}", hint="Quantize again") from e
    return content
