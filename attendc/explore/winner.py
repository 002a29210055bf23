"""The design that an exploration found, as the preset that `attendc train --model file.yaml` takes."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from attendc.explore.candidate import Candidate

__all__ = ["preset_yaml"]


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
