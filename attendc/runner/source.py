"""What goes into a recipe, brought to this machine and known by its hash; nothing here imports torch."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.data.built_in import BUILT_IN
from attendc.data.shards import shards_at, shards_hash
from attendc.errors import CheckpointError, DataError
from attendc.files import sha256
from attendc.locations import content_hash, data_hash, fetch, is_uri, redacted
from attendc.recipe import DataSection, ModelSection, Recipe, is_preset_file
from attendc.stages.train_config import DEFAULT_DATA
from attendc.types import METADATA_FILE, SPEC_KEY

__all__ = ["Source", "data_name", "open_source"]


@dataclass(frozen=True)
class Source:
    """What goes in.

    Attributes:
        model: of the recipe, its checkpoint a path on this machine.
        data: what `load_dataset` takes, where the recipe names it.
        told: for the manifest: path or URI of the checkpoint, its sha256 and bytes.
        data_name: the data that will be used, as `data_name` tells it.
        hashes: of all that goes in, for the keys of the stages.
    """

    model: ModelSection
    data: str
    told: dict[str, Any]
    data_name: str
    hashes: dict[str, Any]


def open_source(recipe: Recipe, context: Context, *, remember: bool = True) -> Source:
    """Fetch what lies elsewhere, compare checksums, and hash everything.

    What is not there is not an error yet: the first stage that needs it says so in its own words. Digests of large data
    are kept in the cache, if they shall be remembered.

    Raises:
        CheckpointError: if the checkpoint cannot be fetched, or is not the one that was asked for.
        DataError: the same of the data.
    """
    model, told = _fetched_model(recipe.model, context)
    _check_name(recipe.data)
    name = data_name(recipe, model)
    hashes = {
        "checkpoint": told.get("sha256", ""),
        "data": _hash_of_data(name, context, remember=remember, expected=recipe.data.sha256),
        "spec_data": {one: _hash_of_data(one, context, remember=remember) for one in _spec_data(recipe)},
        "factory": _factory_hash(model.factory),
        "preset": _preset_hash(model.name),
    }
    return Source(model, recipe.data.source, told, name, hashes)


def data_name(recipe: Recipe, model: ModelSection) -> str:
    """Return the data that will be used, as far as it can be told without opening `model`'s checkpoint."""
    if recipe.data.source or model.checkpoint:
        return recipe.data.source or _data_of(Path(model.checkpoint))
    return DEFAULT_DATA if recipe.stages[0].step == "train" else ""


def _fetched_model(model: ModelSection, context: Context) -> tuple[ModelSection, dict[str, Any]]:
    if not model.checkpoint:
        return model, {}
    path = fetch(model.checkpoint, sha256=model.sha256, error=CheckpointError, context=context)
    told: dict[str, Any] = {"path": redacted(model.checkpoint)}
    if path.is_file() or path.is_dir():
        told["sha256"] = content_hash(path, error=CheckpointError)
    if path.is_file():
        told["bytes"] = path.stat().st_size
    told["trusted"] = model.trust
    return replace(model, checkpoint=str(path)), told


def _check_name(data: DataSection) -> None:
    """Check that the name of the data may go into every artefact, where it stays what it is."""
    if redacted(data.source) != data.source:
        raise DataError(
            f"the data {redacted(data.source)} names a secret, and its name goes into every artefact",
            hint="Give credentials by the environment, as the file system's package takes them",
        )


def _hash_of_data(name: str, context: Context, *, remember: bool, expected: str = "") -> str:
    """Return what data hashes to, fetched first if it lies elsewhere; the empty text if there is none.

    Raises:
        DataError: if it is not the data that is expected.
    """
    shards = shards_at(name) if name and name not in BUILT_IN else None
    if shards is None and is_uri(name):
        return content_hash(fetch(name, sha256=expected, error=DataError, context=context))
    found = shards_hash(shards) if shards is not None else data_hash(name, remember=remember) if name else ""
    if expected and found != expected:
        raise DataError(
            f"the data {name} has the sha256 {found or 'of nothing'}, {expected} is due",
            hint="Give the data that the recipe was written for, or correct data.sha256",
        )
    return found


def _spec_data(recipe: Recipe) -> list[str]:
    """Return the data that a checkpoint will name once a stage has written it: the stages after that one use it."""
    names = (getattr(entry.config, "spec_data", "") for entry in recipe.stages)
    return sorted({name for name in names if name})


def _data_of(path: Path) -> str:
    """Return the data that a checkpoint, a .pt2 or a folder of attendc's names; empty where none is known."""
    try:
        if path.is_dir():
            return str(json.loads((path / "manifest.json").read_text(encoding="utf-8"))["inputs"]["data"])
        if path.suffix == ".pt2":
            return str(_spec_of_program(path)["data"])
        if path.suffix == ".safetensors":
            return str(_spec_of_safetensors(path).get("data", ""))
    except Exception:  # noqa: BLE001 - a damaged file is the business of the stage that opens it
        return ""
    return ""


def _spec_of_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        text = (file.metadata() or {}).get(SPEC_KEY, "{}")
    spec: Mapping[str, Any] = json.loads(text)
    return spec


def _spec_of_program(path: Path) -> Mapping[str, Any]:
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith(METADATA_FILE))
        spec: Mapping[str, Any] = json.loads(json.loads(archive.read(name))["spec"])
    return spec


def _preset_hash(name: str) -> str:
    """Return the sha256 of a preset's file; empty where there is none."""
    return sha256(Path(name)) if is_preset_file(name) and Path(name).is_file() else ""


def _factory_hash(factory: str) -> str:
    """Return the sha256 of the file that a factory stands in; what that file imports is not looked at."""
    if not factory:
        return ""
    path = Path(*factory.partition(":")[0].split("."))
    for folder in (Path.cwd(), *map(Path, sys.path)):
        for file in (folder / path.with_suffix(".py"), folder / path / "__init__.py"):
            if file.is_file():
                return sha256(file)
    return ""
