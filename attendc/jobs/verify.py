"""The job of `attendc verify DIR`: the proof again, from the folder alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from attendc.context import Context
from attendc.converters.program import load_program
from attendc.data.images import evenly
from attendc.errors import CheckpointError, ParityError
from attendc.files import sha256
from attendc.jobs.artefacts import FLOAT_PROGRAM, PROGRAM
from attendc.manifest import read_manifest
from attendc.opening import check_outputs, open_dataset
from attendc.parity import Candidate, Gates, Report, default_images, verify

__all__ = ["VerifyRequest", "verify_folder"]


@dataclass(frozen=True)
class VerifyRequest:
    """A folder that attendc made; `data` and `images` where not those of its Spec and its size are meant."""

    folder: Path
    data: str = ""
    images: int | None = None
    gates: Gates = field(default_factory=Gates)


def verify_folder(request: VerifyRequest, context: Context) -> Report:
    """Compare every artefact of the folder with its graph, and return the report; gates are the caller's to check.

    Raises:
        CheckpointError: if the folder is not whole.
        ParityError: if a file is not the one that the manifest describes.
    """
    if not request.folder.is_dir():
        raise CheckpointError(f"no folder {request.folder}", hint="attendc quantize makes one")
    manifest = read_manifest(request.folder)
    _check_hashes(request.folder, manifest["outputs"])
    programs = [
        load_program(request.folder / name) if (request.folder / name).exists() else None
        for name in (FLOAT_PROGRAM, PROGRAM)
    ]
    known = programs[1] or programs[0]
    if known is None:
        raise CheckpointError(f"{request.folder} holds no graph to compare with")
    network = (programs[0] or known).graph
    spec = replace(known.spec, data=request.data or known.spec.data)
    dataset = open_dataset(spec, seed=context.seed)
    check_outputs(network, spec, dataset)
    made = [
        Candidate(entry["format"], entry["dtype"], request.folder / name)
        for name, entry in manifest["outputs"].items()
        if entry["format"] != "pt2"
    ]
    return verify(
        made,
        network=network,
        graph=programs[1].graph if programs[1] else None,
        images=evenly(dataset.test, request.images or default_images(network, spec.preprocess)),
        preprocess=spec.preprocess,
        gates=request.gates,
        context=context,
    )


def _check_hashes(folder: Path, outputs: dict[str, dict[str, object]]) -> None:
    for name, entry in outputs.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing", hint="Quantize again")
        if sha256(folder / name) != entry["sha256"]:
            raise ParityError(
                f"{folder / name} is not the file that the manifest describes: its sha256 differs",
                hint="Quantize again, or convert from the .pt2",
            )
