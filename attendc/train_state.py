"""The resume state of the training loop: what a run that was killed goes on from.

It holds all that changes while training, so that a resumed run gives the same weights as an unbroken one.
"""

from __future__ import annotations

import copy
import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attendc.errors import CheckpointError
from attendc.files import replace_file

__all__ = ["Progress", "load_state", "save_state"]


@dataclass
class Progress:
    """How far training has come; `loss_sum` is of the running epoch, `curve` has a row for each finished one."""

    step: int = 0
    loss_sum: float = 0.0
    best_accuracy: float = -1.0
    best: dict[str, Tensor] | None = None
    curve: list[dict[str, float]] = field(default_factory=list)


def save_state(
    file: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    done: Progress,
    signature: dict[str, Any],
) -> None:
    """Write the state; `signature` tells which run it is of.

    Raises:
        OutputError: if it cannot be written.
    """
    state = {
        "signature": signature,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "progress": asdict(done),
    }
    content = io.BytesIO()  # torch.save hides why a disk does not take it
    torch.save(state, content)
    with replace_file(file) as beside:
        beside.write_bytes(content.getbuffer())


def load_state(
    file: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    signature: dict[str, Any],
) -> Progress:
    """Put the state into model, optimizer and torch's generator, and return how far training had come.

    Raises:
        CheckpointError: if it is missing, damaged or of another run; all is left as it was then.
    """
    if not file.exists():
        raise CheckpointError(f"no resume state {file}", hint="Run the command without --resume")
    try:
        state = torch.load(file, weights_only=True)
        held, progress = dict(state["signature"]), Progress(**state["progress"])
        weights, moments, rng = state["model"], state["optimizer"], state["rng"]
    except Exception as e:
        raise CheckpointError(
            f"the resume state {file} cannot be read: {type(e).__name__}", hint="Remove it and train again"
        ) from e
    differing = sorted(k for k in signature if held.get(k) != signature[k])
    if differing:
        told = ", ".join(f"{k} {held.get(k)!r} then, {signature[k]!r} now" for k in differing)
        raise CheckpointError(f"the resume state {file} is of another run: {told}", hint="Repeat the same options")
    before = copy.deepcopy(model.state_dict())  # load_state_dict takes what fits before it refuses the rest
    try:
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        torch.set_rng_state(rng)
    except Exception as e:
        model.load_state_dict(before)
        raise CheckpointError(f"the resume state {file} is of another network", hint="Repeat the same options") from e
    return progress
