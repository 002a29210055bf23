"""What each section of the page shows, from the plain data of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from attendc.report.facts import Artefact, accuracies, images_of, is_number, references
from attendc.report.lines import curve_pictures, draw_layers, draw_steps
from attendc.report.matrix import agreement_of, draw_agreement
from attendc.report.ranges import draw_histogram, draw_scales, int8_span, scales_of
from attendc.report.scatter import Point, draw_sizes
from attendc.report.tables import curve_table, layer_table, step_table
from attendc.report.words import count, percent, points, yaml_text
from attendc.targets import FLOAT

__all__ = [
    "agreement_section",
    "check_rows",
    "curve_sections",
    "disagreement_section",
    "gate_words",
    "layer_section",
    "provenance_rows",
    "range_sections",
    "reference_words",
    "size_picture",
    "step_section",
    "text_blocks",
    "tiles",
]

_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+={0,2}")
_EQUAL = {True: "equal to the graph's", False: "NOT equal to the graph's", None: "not compared"}


def tiles(manifest: Mapping[str, Any], files: Sequence[Artefact]) -> list[dict[str, str]]:
    """Return the few numbers to see first: those of the int8 files."""
    made = [a for a in files if a.dtype == "int8" and a.format != "pt2"]
    found = []
    weighed = [a for a in made if a.bytes]
    if weighed:
        least = min(weighed, key=lambda a: a.bytes or 0)
        found.append({"name": "smallest int8 file", "value": f"{least.bytes:,} bytes", "note": _of_float(least, files)})
    measured = [a for a in made if a.accuracy is not None]
    if measured:
        worst = min(measured, key=lambda a: a.accuracy or 0.0)
        note = f"{worst.name}; float {percent(accuracies(manifest).get(FLOAT))}"
        found.append({"name": "lowest int8 accuracy", "value": percent(worst.accuracy), "note": note})
        if worst.drop is not None:
            note = f"points, on {count(worst.images)} images"
            found.append({"name": "against float", "value": points(-worst.drop), "note": note})
    counted = [a for a in made if a.float_ops is not None]
    if counted:
        value = str(sum(a.float_ops or 0 for a in counted))
        found.append({"name": "float operators", "value": value, "note": f"in {len(counted)} int8 files"})
    return found


def _of_float(file: Artefact, files: Sequence[Artefact]) -> str:
    same = (a for a in files if a.format == file.format and a.dtype == "float32" and a.bytes)
    whole = next(same, None)
    if whole is None or not whole.bytes:
        return file.file
    return f"{file.file}; {(file.bytes or 0) / whole.bytes:.3f} of float32"


def check_rows(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the verification read back, and what it notes."""
    found = manifest.get("verification") or {}
    rows = [
        (name, _EQUAL[found[key]])
        for name, key in (("scales in the files", "scales_equal"), ("integer weights", "weights_equal"))
        if key in found
    ]
    return [*rows, *(("note", str(text)) for text in found.get("notes") or ())]


def gate_words(manifest: Mapping[str, Any]) -> str:
    """Return how many gates there are, and how many of them are broken."""
    gates = manifest.get("gates") or ()
    broken = sum(not gate.get("passed") for gate in gates)
    amount = "1 gate" if len(gates) == 1 else f"{len(gates)} gates"
    return f"{amount}, {broken} broken" if broken else f"{amount}, {'it holds' if len(gates) == 1 else 'all hold'}"


def reference_words(manifest: Mapping[str, Any]) -> str:
    """Return the accuracies of what is no file, in one line."""
    return "; ".join(f"{r.name} {percent(r.accuracy)} of {count(r.images)} images" for r in references(manifest))


def size_picture(manifest: Mapping[str, Any], files: Sequence[Artefact]) -> Markup | None:
    """Return size against accuracy of the files that were run."""
    shown = [
        Point(a.name, a.bytes, a.accuracy, *(("circle", "mark c0") if a.dtype == "int8" else ("square", "open c1")))
        for a in files
        if a.bytes and a.accuracy is not None
    ]
    return draw_sizes(shown, level=accuracies(manifest).get(FLOAT)) if shown else None


def agreement_section(manifest: Mapping[str, Any], evidence: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the picture, the number of images, and who saw fewer of them."""
    found = agreement_of(manifest, evidence)
    if found is None:
        return None
    seen = {
        name: max((n for j, n in enumerate(row) if n is not None and j != i), default=None)
        for i, (name, row) in enumerate(zip(found.names, found.images, strict=True))
    }
    fewer = ", ".join(f"{name} {n:,}" for name, n in seen.items() if n is not None and n < (found.most or 0))
    return {"picture": draw_agreement(found), "most": count(found.most) if found.most else "", "fewer": fewer}


def layer_section(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the error by layer: a picture for wide windows, one for narrow ones, and the table."""
    known = [{**row, "sqnr_db": _finite(row.get("sqnr_db"))} for row in layers]
    if not any(row["sqnr_db"] is not None for row in known):
        return None
    pictures = {kind: draw_layers(known, width, kind) for kind, width in (("wide", 1040), ("narrow", 360))}
    return {**pictures, "table": layer_table(known)}


def range_sections(ranges: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the panels of each layer: weights, outputs, and the scales of the channels."""
    return [{"name": str(one.get("layer", "")), "panels": _panels(one)} for one in ranges]


def _panels(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    name, weight, activation = str(one.get("layer", "")), one.get("weight"), one.get("activation")
    panels = [_panel(name, "Weights", weight)] if weight else []
    panels.append(_panel(name, "Output", activation))
    scales = scales_of(weight or {})
    if len(scales) > 1:
        wide = f"largest {max(scales) / min(scales):.1f} times the smallest" if min(scales) > 0 else ""
        picture = draw_scales(f"{name}, scale of each output channel", scales)
        panels.append({"name": "Scale of each channel:", "words": wide, "picture": picture})
    return panels


def _panel(layer: str, name: str, spread: Mapping[str, Any] | None) -> dict[str, Any]:
    if not spread or not spread.get("counts"):
        return {"name": f"{name}:", "words": "not recorded", "picture": None}
    words = f"{spread.get('min', spread['edges'][0]):.4g} to {spread.get('max', spread['edges'][-1]):.4g}"
    span, scales = int8_span(spread), scales_of(spread)
    if span is not None:
        words += f"; int8 holds {span[0]:.4g} to {span[1]:.4g}"
    if len(scales) == 1:
        words += f"; scale {scales[0]:.4g}, zero point {_single(spread.get('zero_point', 0))}"
    if spread.get("clipped") is not None:
        words += f"; {100 * spread['clipped']:.3g} % clipped"
    return {"name": f"{name}:", "words": words, "picture": draw_histogram(f"{layer}, {name.lower()}", spread)}


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) else value


def curve_sections(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the pictures and the table of each training that had an epoch."""
    return [
        {
            "title": str(one.get("title", "training")),
            "pictures": curve_pictures(one),
            "table": curve_table(one["rows"]),
        }
        for one in curves
        if one.get("rows")
    ]


def disagreement_section(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the images on which float and int8 give different classes, and how many there are of them."""
    if not found or not found.get("of"):
        return None
    shown = [_disagreement(one) for one in found.get("shown") or ()]
    total, of = found.get("total"), found.get("of")
    sentence = f"{count(total)} of {count(of)} images"
    if total:
        sentence += f"; {len(shown)} of them are shown" if len(shown) < total else "; all are shown"
    return {"sentence": f"{sentence}.", "shown": shown}


def _disagreement(one: Mapping[str, Any]) -> dict[str, str]:
    label, ours, theirs = (str(one.get(key) or "") for key in ("label", "float", "int8"))
    right = "int8 is right" if label and label == theirs else "float is right" if label and label == ours else ""
    image, margin = str(one.get("image") or ""), _finite(one.get("float_margin"))
    return {
        "index": str(one.get("index", "")),
        "label": label or "no label",
        "float": ours,
        "int8": theirs,
        "right": right or ("neither is right" if label else ""),
        "margin": "" if margin is None else f"{margin:.3g}",
        "image": image if _PICTURE.fullmatch(image) else "",
        "alt": f"Image {one.get('index', '')}: labelled {label or 'nothing'}, float says {ours}, int8 says {theirs}",
    }


def step_section(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the picture and the table of the steps of pruning."""
    if not steps:
        return None
    told = steps[0].get("macs") or steps[0].get("params") or any(step.get("accuracy") is not None for step in steps)
    return {"picture": draw_steps(steps) if told else None, "table": step_table(steps)}


def provenance_rows(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what went in, and with which seed and versions it was worked on."""
    inputs, model = manifest.get("inputs") or {}, manifest.get("model") or {}
    checkpoint = inputs.get("checkpoint") or {}
    rows = [
        ("checkpoint", checkpoint.get("path")),
        ("its SHA-256", checkpoint.get("sha256")),
        ("its bytes", count(checkpoint["bytes"]) if checkpoint.get("bytes") is not None else None),
        ("unpickled in full", _yes_no(checkpoint.get("trusted"))),
        ("data", inputs.get("data")),
        ("images verified on", count(images_of(manifest, FLOAT)) if images_of(manifest, FLOAT) else None),
        ("calibrated on", inputs.get("calibration")),
        ("parameters", count(model["params"]) if model.get("params") is not None else None),
        ("MACs", count(model["macs"]) if model.get("macs") is not None else None),
        ("seed", manifest.get("seed")),
        ("target", (manifest.get("target") or {}).get("core")),
        ("versions", ", ".join(f"{name} {v}" for name, v in (manifest.get("versions") or {}).items()) or None),
    ]
    told = [(name, "not known" if value in (None, "") else str(value)) for name, value in rows]
    return [("caveat", str(manifest["caveat"])), *told] if manifest.get("caveat") else told


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def text_blocks(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the recipe, the history and the passes as YAML, as far as they are there."""
    titles = {
        "recipe": "Recipe, as it was resolved",
        "options": "Options",
        "history": "History",
        "passes": "Passes over the graph",
    }
    return [(title, yaml_text(manifest[key])) for key, title in titles.items() if manifest.get(key)]


def _finite(value: Any) -> float | None:
    return float(value) if is_number(value) else None
