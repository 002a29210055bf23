"""MODEL_CARD.md: what the model is, takes and gives, and what was measured. What is not known is said to be so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attendc.report.cores import bytes_words, core_rows
from attendc.report.facts import Artefact, artefacts, references, run_name, unmeasured, verdict
from attendc.report.sections import provenance_rows
from attendc.report.words import count, percent, points, yaml_text

__all__ = ["model_card"]

_MARKS = "&<>|[]*`\\"
"""What Markdown or HTML would take for more than a word; an underscore within a word it does not."""

_UNKNOWN = "not known"


def model_card(manifest: Mapping[str, Any], evidence: Mapping[str, Any] | None = None) -> str:
    """Return the card: YAML front matter as model hubs read it, then Markdown.

    The manifest's `model` may tell `architecture`, `labels` and `preprocess`, and `license`; without them the card says
    that they are not known.
    """
    files = artefacts(manifest)
    parts = [
        f"---\n{yaml_text(_front(manifest, files))}---",
        f"# {_safe(run_name(manifest))}",
        _what(manifest, files),
        "## Input and output\n\n" + _interface(manifest),
        "## Files\n\n" + _file_table(files),
        "## Measured\n\n" + _measured(manifest, files),
        "## How it was made\n\n" + _made(manifest),
        "## Where it comes from\n\n" + _rows(provenance_rows(manifest)),
        "## Limits\n\n" + _limits(manifest, evidence, files),
    ]
    return "\n\n".join(parts) + "\n"


def _front(manifest: Mapping[str, Any], files: Sequence[Artefact]) -> dict[str, Any]:
    data, model = (manifest.get("inputs") or {}).get("data"), manifest.get("model") or {}
    tags = sorted({a.format for a in files if a.format} | {a.dtype for a in files if a.dtype})
    results = [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": data or _UNKNOWN, "type": data or _UNKNOWN},
            "metrics": [{"type": "accuracy", "name": f"top-1, {a.file}, {a.images} images", "value": a.accuracy}],
        }
        for a in files
        if a.accuracy is not None
    ]
    front: dict[str, Any] = {
        "license": model.get("license") or "unknown",
        "library_name": "attendc",
        "pipeline_tag": "image-classification",
        "tags": tags,
    }
    return {**front, **({"model-index": [{"name": run_name(manifest), "results": results}]} if results else {})}


def _what(manifest: Mapping[str, Any], files: Sequence[Artefact]) -> str:
    model = manifest.get("model") or {}
    size = ", ".join(
        f"{count(model[key])} {words}" for key, words in (("params", "parameters"), ("macs", "MACs")) if model.get(key)
    )
    kinds = " and ".join(dict.fromkeys(a.dtype for a in files if a.dtype)) or "no file"
    sentences = [
        f"An image classifier, as {kinds}.",
        f"Architecture: {_safe(_architecture(model))}.",
        f"Size: {size or _UNKNOWN}.",
        f"Made with attendc {_safe(manifest.get('attendc') or _UNKNOWN)}, `attendc {_code(manifest.get('command'))}`.",
        _made_for(manifest),
        *([f"Not to be relied on: {_safe(manifest['caveat'])}."] if manifest.get("caveat") else []),
    ]
    return "\n".join(sentences)


def _made_for(manifest: Mapping[str, Any]) -> str:
    core = (manifest.get("target") or {}).get("core")
    counted = [
        f"{_safe(row['file'])} takes {count(row['instructions'])} instructions an inference on {_safe(row['core'])}"
        for row in manifest.get("bench") or ()
        if str(row["file"]).endswith(".int8.tflite")
    ]
    if counted:
        return f"Made for: {_safe(core) if core else 'ARM'}. Counted under emulation: {'; '.join(counted)}."
    return f"Made for: {_safe(core)}; nothing was counted on it." if core else "Made for no core in particular."


def _architecture(model: Mapping[str, Any]) -> str:
    found = model.get("architecture")
    return str(found.get("factory", _UNKNOWN)) if isinstance(found, Mapping) else str(found or _UNKNOWN)


def _interface(manifest: Mapping[str, Any]) -> str:
    model = manifest.get("model") or {}
    found, labels = model.get("preprocess") or {}, model.get("labels") or ()
    known = all(key in found for key in ("channels", "height", "width"))
    shape = f"{found['channels']} x {found['height']} x {found['width']}" if known else _UNKNOWN
    scaled = "mean" in found and "std" in found
    scaling = (
        f"divided by 255; mean {_numbers(found['mean'])}, standard deviation {_numbers(found['std'])}" if scaled else ""
    )
    return _rows(
        [
            ("input of the float network, C x H x W", shape),
            ("layout", "NHWC in TFLite, NCHW everywhere else"),
            ("pixels", scaling or _UNKNOWN),
            ("size of the image", f"{found['fit']}" if "fit" in found else _UNKNOWN),
            ("output", "one logit for each class"),
            ("classes, in this order", ", ".join(map(str, labels)) or _UNKNOWN),
        ]
    )


def _file_table(files: Sequence[Artefact]) -> str:
    rows = ((a.file, a.format, a.dtype, count(a.bytes), a.sha256 or _UNKNOWN) for a in files)
    return _table(("file", "format", "type", "bytes", "SHA-256"), rows) if files else "None."


def _measured(manifest: Mapping[str, Any], files: Sequence[Artefact]) -> str:
    found = verdict(manifest)
    said = [f"{found.state.capitalize()}: {_safe(found.sentence)}", *(f"- {_safe(text)}" for text in found.failures)]
    heads = (
        "what",
        "images",
        "top-1 accuracy",
        "against float, points",
        "same class as float",
        "same as its own graph",
    )
    rows = [(r.name, count(r.images), percent(r.accuracy), "", "", "") for r in references(manifest)]
    rows += [
        (
            a.file,
            count(a.images),
            percent(a.accuracy),
            points(None if a.drop is None else -a.drop),
            percent(a.agreement_float),
            percent(a.agreement_source),
        )
        for a in files
        if a.name
    ]
    if not manifest.get("verification"):
        return "\n".join([*said, "", "Accuracy and agreement were not measured."])
    return "\n".join([*said, "", _table(heads, rows), *_on_cores(manifest)])


def _on_cores(manifest: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            one.file,
            one.core,
            count(one.images),
            percent(one.accuracy),
            percent(one.agreement_here),
            percent(one.agreement_source),
            bytes_words(one),
        )
        for one in core_rows(manifest)
    ]
    heads = (
        "what",
        "emulated core",
        "images",
        "top-1 accuracy",
        "same class as here",
        "same as its own graph",
        "bytes",
    )
    return ["", "The same files and images in the runtimes of a board:", "", _table(heads, rows)] if rows else []


def _made(manifest: Mapping[str, Any]) -> str:
    steps = manifest.get("history") or ()
    if not steps:
        return "The history of this model is not known."
    lines = []
    for number, step in enumerate(steps, 1):
        told = [f"{key} {_short(value)}" for key, value in step.items() if key != "step" and _short(value)]
        lines.append(f"{number}. {_safe(step.get('step', _UNKNOWN))}{': ' + _safe(', '.join(told)) if told else ''}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    """Return what fits in a line; longer things stand in the manifest."""
    if isinstance(value, Mapping):
        return " ".join(f"{k}={v}" for k, v in value.items() if isinstance(v, str | int | float))
    return str(value) if isinstance(value, str | int | float) else ""


def _limits(manifest: Mapping[str, Any], evidence: Mapping[str, Any] | None, files: Sequence[Artefact]) -> str:
    missing = unmeasured(manifest, evidence)
    lines = [missing[key] for key in ("verification", "accuracy", "layers") if key in missing]
    if (manifest.get("inputs") or {}).get("calibration") == "random":
        lines.append("The int8 ranges come from random inputs, not from images.")
    lines += [f"{a.file} holds {a.float_ops} float operators." for a in files if a.dtype == "int8" and a.float_ops]
    lines += [str(text) for text in manifest.get("warnings") or ()]
    lines.append("Behaviour on images of another kind than those above, fairness and latency were not measured.")
    return "\n".join(f"- {_safe(line)}" for line in lines)


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {_safe(value)}" for name, value in rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_safe(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _numbers(values: Any) -> str:
    return ", ".join(f"{v:g}" for v in (values if isinstance(values, list | tuple) else [values]))


def _code(value: Any) -> str:
    return str(value or _UNKNOWN).replace("`", "'")


def _safe(value: Any) -> str:
    """Return one line that Markdown takes as words: no markup, no cell's end."""
    text = " ".join(str(value).split())
    return "".join(f"&#{ord(c)};" if c in _MARKS else c for c in text)
