"""The step `verify`: the proof that every artefact computes what its graph computes, and what it costs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from attendc import parity
from attendc.artefacts import FLOAT_PROGRAM, PROGRAM
from attendc.context import Context
from attendc.data.images import Images, evenly
from attendc.data.preprocess import random_images
from attendc.errors import CheckpointError, ParityError, UsageError
from attendc.evidence import gather_evidence
from attendc.gates import gate_rows
from attendc.locations import content_hash
from attendc.manifest import read_manifest
from attendc.opening import check_outputs, open_dataset
from attendc.parity import Gates, Report, default_images
from attendc.stages.convert import Converted, graphs_of, graphs_of_folder
from attendc.stages.quantize_config import RANDOM
from attendc.stages.verify_config import VerifyConfig
from attendc.stages.work import EVIDENCE, Made, Work
from attendc.targets import FORMATS, WITNESS, Candidate, core_of_runner, family_of, is_quantized

__all__ = ["Verified", "run", "verify", "verify_folder"]


@dataclass(frozen=True)
class Verified:
    """A report, and what it was made from: the images and the logits (N, classes) of every runner."""

    report: Report
    images: Images
    outputs: Mapping[str, Tensor]


def verify(converted: Converted, config: VerifyConfig | None = None, context: Context | None = None) -> Report:
    """Compare every artefact with its graph on test images; the gates are the caller's to check.

        report = attendc.verify(files, attendc.VerifyConfig(images=500))
        attendc.check_gates(report)

    Args:
        converted: what `convert` returned.
        config: how many images, and what must hold.
        context: seed, progress.

    Raises:
        DataError: if the Spec names no data, or data of other classes.
        CheckpointError: if a runtime refuses a file.
    """
    random = converted.graphs.stamp.calibration == RANDOM and not converted.graphs.spec.data
    return _verified(converted, config or VerifyConfig(), context or Context(), random=random).report


def verify_folder(
    folder: Path, config: VerifyConfig | None = None, context: Context | None = None, *, data: str = ""
) -> Report:
    """Prove a folder that attendc made again, from the folder alone; the gates are the caller's to check.

    Raises:
        CheckpointError: if the folder is not whole.
        ParityError: if a file is not the one that the manifest describes.
    """
    return verify(_converted_folder(folder, data), config, context)


def run(config: VerifyConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: the report goes into the manifest, what the page shows beside it into `evidence.json`."""
    converted = _converted(work)
    random = bool(work.facts.get("random"))
    found = _verified(converted, config, context, images=work.facts.get("images"), random=random)
    graphs, report = converted.graphs, found.report
    network = graphs.floating or graphs.quantized
    assert network is not None, "there is one graph at least"
    evidence = gather_evidence(
        network=network,
        graph=graphs.quantized,
        outputs={name: logits for name, logits in found.outputs.items() if not core_of_runner(name)},
        images=found.images,
        preprocess=graphs.spec.preprocess,
        labels=graphs.spec.labels,
        context=context,
        has_labels=not random,
    )
    (folder / EVIDENCE).write_text(json.dumps(evidence, indent=1) + "\n", encoding="utf-8")
    rows = gate_rows(report.as_json(), min_agreement=config.min_agreement, max_drop=config.max_drop)
    told: dict[str, Any] = {
        "verification": report.as_json(),
        "gates": [dataclasses.asdict(row) for row in rows],
        "inputs": {"data": graphs.spec.data},
    }
    if "last_step" in work.facts:
        told["steps"] = _accuracy_steps(report, work.facts["last_step"])
    return Made(told, {"gate": config.gate})


def _verified(
    converted: Converted, config: VerifyConfig, context: Context, *, random: bool, images: int | None = None
) -> Verified:
    graphs = converted.graphs
    network = graphs.floating or graphs.quantized
    assert network is not None, "there is one graph at least"
    preprocess = graphs.spec.preprocess
    count = config.images or images or default_images(network, preprocess)
    if not random:
        dataset = open_dataset(graphs.spec, seed=context.seed)
        check_outputs(network, graphs.spec, dataset)
        chosen = evenly(dataset.test, count)
    else:  # without data, random images have no meaning but their shape
        chosen = random_images(preprocess, count)
    report, outputs = parity.verify(
        converted.made,
        network=network,
        graph=graphs.quantized,
        images=chosen,
        preprocess=preprocess,
        gates=_gates(config),
        context=context,
        has_labels=not random,
        cores=config.on,
    )
    return Verified(report, chosen, outputs)


def _gates(config: VerifyConfig) -> Gates:
    return Gates(config.min_agreement, config.max_drop)


def _converted(work: Work) -> Converted:
    """Return the artefacts of the stages before, or those of the folder that came in."""
    if "artefacts" in work.facts:
        graphs = graphs_of(work.files)
        made = tuple(Candidate(f, d, work.path_of(name)) for f, d, name in work.facts["artefacts"])
        return Converted(graphs, made)
    if not work.model.checkpoint or work.source.is_file():
        raise UsageError("there is nothing to verify", hint="Add the stage convert before verify")
    return _converted_folder(work.source, work.data)


def _converted_folder(folder: Path, data: str) -> Converted:
    if not folder.is_dir():
        raise CheckpointError(f"no folder {folder}", hint="attendc quantize makes one")
    outputs = read_manifest(folder)["outputs"]
    _check_hashes(folder, outputs)
    if not any((folder / name).exists() for name in (PROGRAM, FLOAT_PROGRAM)):
        raise CheckpointError(f"{folder} holds no graph to compare with")
    made = tuple(
        Candidate(entry["format"], entry["dtype"], folder / name)
        for name, entry in outputs.items()
        if entry["format"] in FORMATS
    )
    return Converted(graphs_of_folder(folder, data=data), made)


def _check_hashes(folder: Path, outputs: dict[str, dict[str, object]]) -> None:
    for name, entry in outputs.items():
        if not (folder / name).exists():
            raise CheckpointError(f"{folder / name} is missing", hint="Quantize again")
        if content_hash(folder / name, error=CheckpointError) != entry["sha256"]:
            raise ParityError(
                f"{folder / name} is not the file that the manifest describes: its sha256 differs",
                hint="Quantize again, or convert from the .pt2",
            )


def _accuracy_steps(report: Report, last: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that follow those of pruning: the quantized graph, and each quantized artefact."""
    names = [name for name in report.accuracy if is_quantized(name) and name != WITNESS and not core_of_runner(name)]
    return [{**last, "step": _step_name(name), "accuracy": report.accuracy[name]} for name in names]


def _step_name(name: str) -> str:
    """Return `int8 onnx`; a name that tells its type already stays: `tflite_dynamic`."""
    return f"int8 {name}" if family_of(name) == "int8" else name
