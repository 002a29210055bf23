"""What a manifest says of a network: its size, how to build it, and how its input is made."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from attendc.metrics import count_macs, count_params
from attendc.types import Spec

__all__ = ["model_facts"]


def model_facts(network: nn.Module, spec: Spec) -> dict[str, Any]:
    """Return parameters, MACs of one image, architecture, labels and preprocessing."""
    return {
        "params": count_params(network),
        "macs": count_macs(network, spec.preprocess.input_shape),
        "architecture": dataclasses.asdict(spec.architecture),
        "labels": list(spec.labels),
        "preprocess": dataclasses.asdict(spec.preprocess),
    }
