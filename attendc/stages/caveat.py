"""What must be said of artefacts that nobody should trust: random weights, or no proof."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attendc.context import Context
from attendc.stages.work import Work
from attendc.types import Stamp

__all__ = ["NOT_VERIFIED", "caveat_section", "told_unverified"]

NOT_VERIFIED = "not verified"


def told_unverified(stamp: Stamp, work: Work, context: Context) -> Stamp:
    """Return the stamp of a recipe whose artefacts no stage proves, and say so once; else as it is."""
    if work.verified:
        return stamp
    if NOT_VERIFIED not in work.told.get("caveat", ""):  # else a stage before has said it
        context.warn(NOT_VERIFIED)
    return replace(stamp, verification=NOT_VERIFIED)


def caveat_section(stamp: Stamp) -> dict[str, Any]:
    """Return the manifest's `caveat`: `weights: random (seed 0), not trained; not verified`, as far as it is so."""
    return {"caveat": stamp.caveat} if stamp.caveat else {}
