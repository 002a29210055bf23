"""What the table of steps says of a network: its cost and its accuracy, after each step."""

from __future__ import annotations

from typing import Any

from torch import nn

from attendc.data.images import Images
from attendc.metrics import count_macs, count_params
from attendc.train import accuracy
from attendc.types import Preprocess

__all__ = ["step_row"]


def step_row(step: str, model: nn.Module, preprocess: Preprocess, judged: Images | None) -> dict[str, Any]:
    """Return {"step", "macs", "params"}, and top-1 "accuracy" (0..1) on the judged images if there are any."""
    row: dict[str, Any] = {
        "step": step,
        "macs": count_macs(model, preprocess.input_shape),
        "params": count_params(model),
    }
    if judged is not None:
        row["accuracy"] = accuracy(model, judged, preprocess)
    return row
