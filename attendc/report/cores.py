"""What the same files give on emulated ARM cores, for the page, the model card and report.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attendc.report.facts import accuracies, pair_of
from attendc.report.tables import Table
from attendc.report.words import count, percent
from attendc.targets import REFERENCES, family_of

__all__ = ["OnCore", "bytes_words", "core_rows", "core_table"]


@dataclass(frozen=True)
class OnCore:
    """One file on one core.

    Attributes:
        file: its name in the run's folder.
        core: the emulated core.
        images: how many it saw, one at a time.
        accuracy: top-1 in 0..1.
        agreement_here: part of the images on which it gives the same class as on the machine that verified.
        agreement_source: the same with what the file was made from.
        identical: whether all outputs are the same, byte by byte, as on the machine that verified.
        differing_images: of how many images at least one byte differs.
        max_steps: largest difference of an output, in steps of the int8 output's scale.
    """

    file: str
    core: str
    images: int
    accuracy: float | None
    agreement_here: float | None
    agreement_source: float | None
    identical: bool
    differing_images: int
    max_steps: float


def core_rows(manifest: Mapping[str, Any]) -> tuple[OnCore, ...]:
    """Return a row for each file and core; none where nothing was run on a core."""
    names = {str(entry.get("name")): file for file, entry in (manifest.get("outputs") or {}).items()}
    reached = accuracies(manifest)
    return tuple(
        OnCore(
            file=names.get(one["here"], one["here"]),
            core=one["core"],
            images=one["images"],
            accuracy=reached.get(one["runner"]),
            agreement_here=_agreement(manifest, one["runner"], one["here"]),
            agreement_source=_agreement(manifest, one["runner"], REFERENCES[family_of(one["runner"])]),
            identical=one["identical"],
            differing_images=one["differing_images"],
            max_steps=one["max_steps"],
        )
        for one in (manifest.get("verification") or {}).get("on") or ()
    )


def core_table(manifest: Mapping[str, Any]) -> Table | None:
    """Return a row for each file and core; None where nothing was run on a core."""
    rows = core_rows(manifest)
    if not rows:
        return None
    words = ("file", "core", "bytes")
    numbers = ("images", "accuracy", "same class as here", "same as own graph", "most steps")
    heads = (*((word, False) for word in words), *((number, True) for number in numbers))
    cells = tuple(
        (
            (one.file, None),
            (one.core, None),
            (bytes_words(one), None),
            (count(one.images), one.images),
            (percent(one.accuracy), one.accuracy),
            (percent(one.agreement_here), one.agreement_here),
            (percent(one.agreement_source), one.agreement_source),
            (f"{one.max_steps:.3g}", one.max_steps),
        )
        for one in rows
    )
    return Table(heads, cells)


def bytes_words(one: OnCore) -> str:
    """Return how the bytes of all outputs compare."""
    return "identical" if one.identical else f"differ on {count(one.differing_images)} of {count(one.images)} images"


def _agreement(manifest: Mapping[str, Any], a: str, b: str) -> float | None:
    pair = pair_of(manifest, a, b)
    return None if pair is None else float(pair["top1_agreement"])
