"""What a manifest and the evidence say, as plain rows: the page, report.json and the model card all tell the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from attendc.gates import points_lost
from attendc.targets import FLOAT, REFERENCES, core_of_runner, family_of

__all__ = [
    "Artefact",
    "Reference",
    "Verdict",
    "accuracies",
    "artefacts",
    "images_of",
    "is_number",
    "pair_of",
    "references",
    "run_name",
    "unmeasured",
    "verdict",
]

Pair = Mapping[str, Any]


@dataclass(frozen=True)
class Artefact:
    """One file of a run; None is what the run did not measure.

    Attributes:
        file: its name in the run's folder.
        name: as the verification calls it; empty where the file itself was not run.
        format: tflite, onnx, torchscript, savedmodel or pt2.
        dtype: one of `attendc.targets.DTYPES`.
        bytes: of the file.
        sha256: of the file.
        accuracy: top-1 in 0..1.
        images: how many `accuracy` was counted on.
        drop: points of accuracy below the float network on the same images.
        agreement_float: part of the images on which its class is the float network's.
        agreement_source: the same with what the file was made from.
        source: what that is: `graph` for int8, `float` for float32 and float16, else what was derived from the graph.
        float_ops: operators that compute in float.
        transposes: TRANSPOSE operators.
        ops: name of an operator -> how many there are.
    """

    file: str
    name: str
    format: str
    dtype: str
    bytes: int | None
    sha256: str
    accuracy: float | None
    images: int | None
    drop: float | None
    agreement_float: float | None
    agreement_source: float | None
    source: str
    float_ops: int | None
    transposes: int | None
    ops: Mapping[str, int]


@dataclass(frozen=True)
class Reference:
    """A runner that is no file: the float network, the quantized graph, the witness."""

    name: str
    accuracy: float
    images: int | None


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    state: `unproven` where nothing was verified and no gate was set.
    sentence: what that means, in one line.
    failures: a sentence each.
    """

    state: Literal["passed", "failed", "unproven"]
    sentence: str
    failures: tuple[str, ...] = ()


def run_name(manifest: Mapping[str, Any]) -> str:
    """Return the name of a run, else that of its checkpoint, else its command."""
    if manifest.get("name"):
        return str(manifest["name"])
    path = _checkpoint(manifest).get("path")
    return PurePath(str(path)).stem if path else str(manifest.get("command") or "run")


def artefacts(manifest: Mapping[str, Any]) -> tuple[Artefact, ...]:
    """Return every file of a run in the order of the manifest, the graphs (.pt2) last."""
    rows = [_artefact(manifest, file, entry) for file, entry in (manifest.get("outputs") or {}).items()]
    return tuple(sorted(rows, key=lambda row: row.format == "pt2"))


def references(manifest: Mapping[str, Any]) -> tuple[Reference, ...]:
    """Return the accuracies of what is no file."""
    files = {str(entry.get("name")) for entry in (manifest.get("outputs") or {}).values()}
    reached = accuracies(manifest)
    return tuple(
        Reference(n, a, images_of(manifest, n)) for n, a in reached.items() if n not in files and not core_of_runner(n)
    )


def accuracies(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Return top-1 accuracy (0..1) by the name of the runner."""
    return dict(_verification(manifest).get("accuracy") or {})


def images_of(manifest: Mapping[str, Any], name: str) -> int | None:
    """Return how many images a runner saw: those of its pair with the float network, else of the verification."""
    pair = pair_of(manifest, FLOAT, name)
    count = pair["images"] if pair else _verification(manifest).get("images")
    return None if count is None else int(count)


def pair_of(manifest: Mapping[str, Any], a: str, b: str) -> Pair | None:
    """Return how two runners compare, whichever comes first."""
    pairs = _verification(manifest).get("pairs") or ()
    return next((pair for pair in pairs if {pair["a"], pair["b"]} == {a, b}), None)


def verdict(manifest: Mapping[str, Any]) -> Verdict:
    """Return whether the run is proven: everything that was set as a gate, or verified, holds."""
    verification, gates = _verification(manifest), manifest.get("gates") or ()
    failures = [*(verification.get("failures") or ()), *(verification.get("accuracy_failures") or ())]
    broken = [gate for gate in gates if not gate.get("passed")]
    failures += [text for text in map(_gate_failure, broken) if text not in failures]
    if failures or broken or verification.get("passed") is False:
        count = max(len(failures), 1)
        return Verdict("failed", f"{count} {'check does' if count == 1 else 'checks do'} not hold.", tuple(failures))
    if not verification:
        nobody = "Nothing was verified in this run: its files may be right, but nobody looked."
        return Verdict("unproven", f"{_held(len(gates))}. {nobody}" if gates else nobody)
    return Verdict("passed", _passed(manifest))


def unmeasured(manifest: Mapping[str, Any], evidence: Mapping[str, Any] | None) -> dict[str, str]:
    """Return a sentence for each part of a report that this run has no numbers for."""
    known, float_only = evidence or {}, not any(a.dtype == "int8" for a in artefacts(manifest))
    why = "there is no int8 graph to compare with" if float_only else "this run kept no evidence of it"
    said = {
        "verification": "Accuracy and agreement were not measured: this run did not verify its files.",
        "accuracy": "Accuracy was not measured: the images of this run have no labels.",
        "layers": f"The error by layer was not measured: {why}.",
        "agreement": "Agreement was not measured: this run did not verify its files.",
        "ranges": f"Ranges of weights and activations were not recorded: {why}.",
        "disagreements": f"Images on which float and int8 disagree were not collected: {why}.",
        "curves": "There was no training in this run.",
        "steps": "Nothing was pruned in this run.",
        "stages": "The times of the stages were not recorded.",
    }
    there = {
        "verification": bool(_verification(manifest)),
        "accuracy": bool(accuracies(manifest)) or not _verification(manifest),
        "agreement": bool(known.get("agreement") or _verification(manifest).get("pairs")),
        "disagreements": bool((known.get("disagreements") or {}).get("of")),
        "layers": any(is_number(row.get("sqnr_db")) for row in known.get("layers") or ()),
        "ranges": bool(known.get("ranges")),
        **{name: bool(manifest.get(name)) for name in ("curves", "steps", "stages")},
    }
    return {name: text for name, text in said.items() if not there[name]}


def is_number(value: object) -> bool:
    """Return whether a value can be drawn: neither missing, nor true or false, nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _artefact(manifest: Mapping[str, Any], file: str, entry: Mapping[str, Any]) -> Artefact:
    name, dtype = str(entry.get("name") or ""), str(entry.get("dtype") or "")
    reached, source = accuracies(manifest), REFERENCES[family_of(name or f"graph_{dtype}")]
    accuracy = reached.get(name)
    return Artefact(
        file=file,
        name=name,
        format=str(entry.get("format") or ""),
        dtype=dtype,
        bytes=entry.get("bytes"),
        sha256=str(entry.get("sha256") or ""),
        accuracy=accuracy,
        images=None if accuracy is None else images_of(manifest, name),
        drop=None if accuracy is None or FLOAT not in reached else points_lost(reached[FLOAT], accuracy),
        agreement_float=_agreement(manifest, FLOAT, name),
        agreement_source=_agreement(manifest, source, name),
        source=source,
        float_ops=entry.get("float_ops"),
        transposes=entry.get("transposes"),
        ops=dict(entry.get("ops") or {}),
    )


def _agreement(manifest: Mapping[str, Any], a: str, b: str) -> float | None:
    pair = pair_of(manifest, a, b) if b else None
    return None if pair is None else float(pair["top1_agreement"])


def _passed(manifest: Mapping[str, Any]) -> str:
    gates = len(manifest.get("gates") or ())
    held = _held(gates) if gates else "Every check holds"
    images = _verification(manifest).get("images")
    if not images:
        return f"{held}."
    source = (manifest.get("inputs") or {}).get("data")
    return f"{held}, on {images:,} images{f' of {source}' if source else ''}."


def _held(gates: int) -> str:
    return "The gate holds" if gates == 1 else f"All {gates} gates hold"


def _gate_failure(gate: Mapping[str, Any]) -> str:
    if gate.get("message"):
        return str(gate["message"])
    return f"{gate.get('name', 'a gate')} is {gate.get('value')}, its limit is {gate.get('limit')}"


def _verification(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return manifest.get("verification") or {}


def _checkpoint(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return (manifest.get("inputs") or {}).get("checkpoint") or {}
