"""From a document without references to a checked recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from attendc.reader.check import check_config
from attendc.reader.faults import Fault, Place, closest, join
from attendc.reader.head import Head
from attendc.reader.merge import Document, long_forms
from attendc.reader.nodes import Node, fault, is_sound, mapping
from attendc.reader.rules import check_model, check_name, check_sha256, names_a_model, names_nothing_to_read
from attendc.recipe import DataSection, ModelSection, Recipe, StageEntry, TargetSection

__all__ = ["SECTIONS", "assemble"]

SECTIONS = {"model": ModelSection, "data": DataSection, "target": TargetSection}

_FIRST_KEYS = ("version", "name", "extends", "vars", *SECTIONS, "seed", "device", "threads", "output", "variants")
_TAKE_FRESH = ("simplify", "quantize", "convert")
"""First stages of a recipe that studies what a network without a checkpoint costs."""
_KNOWN = (*_FIRST_KEYS, "stages")


def assemble(document: Document, stages: Mapping[str, type], faults: list[Fault]) -> Recipe | None:
    """Return the recipe, or None and what is wrong with it. Variants are left to the caller."""
    top = long_forms(document.top)
    _check_keys(top, faults)
    head = _head(document, top, faults)
    sections: dict[str, Any] = {name: _section(name, top.get(name), document.place, faults) for name in SECTIONS}
    entries = _stages(document, top.get("stages"), stages, faults)
    _check_checkpoint(document, top, faults)
    if head is None or None in sections.values() or entries is None:
        return None
    return Recipe(
        name=head.name or document.name,
        stages=entries,
        seed=head.seed,
        device=head.device,
        threads=head.threads,
        output=head.output,
        version=head.version,
        **sections,
    )


def _check_keys(top: dict[str, Node], faults: list[Fault]) -> None:
    message = f"no such key; known are {', '.join(_KNOWN)}"
    faults += [fault(top[key], key, message, closest(key, _KNOWN)) for key in top if key not in _KNOWN]


def _head(document: Document, top: dict[str, Node], faults: list[Fault]) -> Head | None:
    names = {field.name for field in fields(Head)}
    held = {key: node for key, node in top.items() if key in names}
    found: list[Fault] = []
    head = check_config(Head, Node(held, document.place), "", found)
    if not document.is_whole:
        found = [one for one in found if one.path in held]
    faults += found
    check_name(held.get("name", Node(document.name, document.place)), "name", faults)
    output = held.get("output")
    if output is not None and output.value == "":
        faults.append(fault(output, "output", "must be the path of a folder"))
    return head


def _section(name: str, node: Node | None, place: Place, faults: list[Fault]) -> object | None:
    section = check_config(SECTIONS[name], node or Node({}, place), name, faults)
    if name == "model":
        check_model(node, faults)
    check_sha256(node, name, faults)
    if isinstance(section, ModelSection | DataSection):
        return replace(section, sha256=section.sha256.lower())
    return section


def _stages(
    document: Document, node: Node | None, known: Mapping[str, type], faults: list[Fault]
) -> tuple[StageEntry, ...] | None:
    names = ", ".join(known)
    if node is None:
        if document.is_whole:
            at = document.place
            faults.append(Fault(at.file, at.line, "stages", "", f"is missing; it must list stages: {names}"))
        return None
    if not isinstance(node.value, tuple):
        if is_sound(node):
            faults.append(fault(node, "stages", f"must be a list of stages: {names}"))
        return None
    if not node.value:
        faults.append(fault(node, "stages", f"must hold at least one stage: {names}"))
        return None
    entries = [_stage(entry, join("stages", i), known, faults) for i, entry in enumerate(node.value)]
    sound = tuple(entry for entry in entries if entry is not None)
    return sound if len(sound) == len(entries) else None


def _stage(node: Node, path: str, known: Mapping[str, type], faults: list[Fault]) -> StageEntry | None:
    step, options = _step(node)
    if step is None:
        if not isinstance(node.value, dict) and not is_sound(node):
            return None
        several = isinstance(node.value, dict) and len(node.value) > 1
        hint = "; indent its options below it" if several else ""
        faults.append(fault(node, path, f"must be one stage, its name alone or with options{hint}"))
        return None
    if step not in known:
        place = options.place
        message = f"no such stage; known are {', '.join(known)}"
        faults.append(fault(Node(step, place), path, message, closest(step, known)))
        return None
    config = check_config(known[step], options, join(path, step), faults)
    return None if config is None else StageEntry(step, config)


def _step(node: Node) -> tuple[str | None, Node]:
    """Return the name of a stage and its options; None where there is not one name."""
    if isinstance(node.value, str):
        return node.value, Node({}, node.place)
    if isinstance(node.value, dict) and len(node.value) == 1:
        return next(iter(node.value.items()))
    return None, node


def _check_checkpoint(document: Document, top: dict[str, Node], faults: list[Fault]) -> None:
    stages = top.get("stages")
    entries = stages.value if stages is not None and isinstance(stages.value, tuple) else ()
    if not entries or not document.is_whole or not names_nothing_to_read(top.get("model")):
        return
    step, _ = _step(entries[0])
    if step is None or step == "train" or (step in _TAKE_FRESH and names_a_model(top.get("model"))):
        return
    at = top["model"].place if mapping(top.get("model")) else document.place
    message = "is missing; a recipe that begins with train needs none, nor one that only quantizes or converts a model"
    faults.append(Fault(at.file, at.line, "model.checkpoint", "", message))
