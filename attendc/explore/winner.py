"""The design that an exploration found, as the preset that `attendc train --model file.yaml` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import yaml

from attendc.explore.candidate import Candidate
from attendc.models.attendnext import AttendNeXtConfig
from attendc.models.layout import layout

__all__ = ["plainly", "preset_yaml"]

_PRACTICES = ("downsample", "attention", "mix")


def plainly(candidate: Candidate) -> Candidate:
    """Return the design with the family's own word for each practice, where that changes no layer.

    With one block a stage, attention in every block is attention at stage entry.
    """
    for name in _PRACTICES:
        config = replace(candidate.config, **{name: getattr(AttendNeXtConfig(), name)})
        if layout(config, candidate.height, candidate.width) == layout(
            candidate.config, candidate.height, candidate.width
        ):
            candidate = replace(candidate, config=config)
    return candidate


def preset_yaml(candidate: Candidate, comment: Sequence[str] = ()) -> str:
    """Return the YAML of a preset: family, size of the image, and every field of the config.

    Args:
        candidate: the design.
        comment: lines that stand above it, such as where it was found and what it costs.
    """
    config = candidate.as_dict()
    told = {"family": "attendnext", "input_size": config.pop("input_size"), "config": config}
    lines = [f"# {line}".rstrip() for text in comment for line in text.splitlines() or [""]]
    return "\n".join([*lines, yaml.safe_dump(told, sort_keys=False, default_flow_style=None, width=100)])
