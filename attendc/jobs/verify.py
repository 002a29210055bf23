"""The job of `attendc verify DIR`: the proof again, from the folder alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attendc.arm.cores import core_of
from attendc.context import Context
from attendc.files import check_writable
from attendc.jobs.building import recipe_of
from attendc.jobs.outputs import write_together
from attendc.manifest import MANIFEST, manifest_text, read_manifest
from attendc.opening import CheckpointRequest
from attendc.parity import Gates
from attendc.recipe import Recipe
from attendc.runner.execute import Executed
from attendc.runner.folder import evidence_of, told_pages
from attendc.runner.run import RunOptions, executed_recipe
from attendc.stages.caveat import NOT_VERIFIED
from attendc.stages.verify_config import VerifyConfig

__all__ = ["VerifyRequest", "prove_folder", "verify_recipe"]


@dataclass(frozen=True)
class VerifyRequest:
    """A folder that attendc made, and how to prove it again.

    Attributes:
        folder: as above.
        data: where images come from; empty: as its Spec says.
        images: how many; None: by the size of the network.
        gates: what must hold.
        on: emulated ARM cores that run the TFLite and ONNX files too. What is found then goes into the folder.
    """

    folder: Path
    data: str = ""
    images: int | None = None
    gates: Gates = field(default_factory=Gates)
    on: Sequence[str] = ()


def verify_recipe(request: VerifyRequest, context: Context) -> Recipe:
    """Return the recipe that a request means.

    Raises:
        UsageError: if a core is not known.
    """
    gates = request.gates
    cores: Any = tuple(dict.fromkeys(core_of(name).name for name in request.on))
    config = VerifyConfig(request.images, gates.min_agreement, gates.max_drop_points, gate=False, on=cores)
    source = CheckpointRequest(request.folder, data=request.data)
    return recipe_of(f"{request.folder.name}-verified", source, {"verify": config}, context)


def prove_folder(request: VerifyRequest, context: Context) -> dict[str, Any]:
    """Compare every artefact of the folder with its graph, and return the verification as in a manifest.

    It is done anew each time, whatever the cache holds. The gates are the caller's to check:
    `attendc.check_verification`. With cores, manifest, report and model card of the folder tell what was found, also
    where a gate does not hold.

    Raises:
        UsageError: if a core is not known, or the emulated machine is not set up.
        CheckpointError: if the folder is not whole.
        ParityError: if a file is not the one that the manifest describes.
    """
    options = RunOptions(cached=False, command="verify")
    if request.on:
        check_writable(request.folder / MANIFEST)
    with executed_recipe(verify_recipe(request, context), context, options) as executed:
        verification: dict[str, Any] = executed.work.told["verification"]
        if request.on:
            _tell(request.folder, executed)
    return verification


def _tell(folder: Path, executed: Executed) -> None:
    """Let the folder say what was found, whole or not at all."""
    told, before = executed.work.told, read_manifest(folder)
    kept = [gate for gate in before.get("gates", []) if gate["stage"] != "verify"]
    proof = {"verification": told["verification"], "gates": [*kept, *told["gates"]]}
    inputs = {**before["inputs"], "data": told["inputs"]["data"]}
    manifest = _without_caveat({**before, **proof, "inputs": inputs})
    pages = told_pages(manifest, evidence_of(executed))
    texts = {**pages, MANIFEST: manifest_text(manifest)}
    write_together({folder / name: text.encode() for name, text in texts.items()})


def _without_caveat(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest that no longer says that nobody has verified its files; they themselves are as they were."""
    caveat = "; ".join(text for text in manifest.get("caveat", "").split("; ") if text != NOT_VERIFIED)
    warnings = [text for text in manifest.get("warnings", []) if text != NOT_VERIFIED]
    rest = {key: value for key, value in manifest.items() if key != "caveat"}
    return {**rest, "warnings": warnings, **({"caveat": caveat} if caveat else {})}
