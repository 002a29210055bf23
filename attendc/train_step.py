"""One step of the training loop: a batch goes in, the weights change, its loss comes out.

In a team (`attendc.distributed`) each process computes its part of the batch, and what it gives to the mean over the
processes is weighed by the number of its images: the step is that of one process with the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from attendc.distributed.team import Team
from attendc.errors import UsageError

if TYPE_CHECKING:
    from attendc.train import Task, TrainOptions

__all__ = ["Learner", "learning_rate", "new_optimizer", "set_training", "step_of"]

FINAL_LR_RATIO = 0.01


@dataclass(frozen=True)
class Learner:
    """What learns, the same in every process of a team.

    Attributes:
        model: the network.
        forward: what to call in its place.
        optimizer: of its parameters.
        task: what to train on.
        options: how.
        seed: of what is drawn at random inside the network.
        team: who trains together.
    """

    model: nn.Module
    forward: Callable[[Tensor], Any]
    optimizer: torch.optim.Optimizer
    task: Task
    options: TrainOptions
    seed: int
    team: Team

    @property
    def epoch_steps(self) -> int:
        """Return the steps of an epoch."""
        return len(self.task.train) // self.options.batch_size

    @property
    def steps(self) -> int:
        """Return all steps."""
        return self.options.epochs * self.epoch_steps


def learning_rate(step: int, steps: int, options: TrainOptions) -> float:
    """Return the rate of one step: linear warm-up, then a cosine down to `FINAL_LR_RATIO` of the peak."""
    warm = max(1, round(steps * options.warmup))
    if step < warm:
        return options.lr * (step + 1) / warm
    turn = (step - warm) / max(1, steps - warm)
    low = options.lr * FINAL_LR_RATIO
    return low + (options.lr - low) * 0.5 * (1 + math.cos(math.pi * turn))


def new_optimizer(model: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """Return AdamW that decays matrices and kernels, not biases, norms or ranges (Source: arXiv 1812.01187, 3.1).

    Raises:
        UsageError: if the rate or the decay is no number from 0 on.
    """
    for name in ("lr", "weight_decay"):
        if not 0 <= getattr(options, name) < math.inf:
            raise UsageError(f"{name} is {getattr(options, name)}", hint="It must be a number from 0 on")
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.lr)


def step_of(learner: Learner, batch: tuple[Tensor, Tensor], step: int) -> float:
    """Do one step of AdamW on this process's part of a batch and return the loss of the whole batch.

    Raises:
        UsageError: if the loss is no number.
    """
    model, task, options, team = learner.model, learner.task, learner.options, learner.team
    if task.on_step is not None:
        task.on_step(model, step, learner.steps)
    set_training(model, training=True)
    for group in learner.optimizer.param_groups:
        group["lr"] = learning_rate(step, learner.steps, options)
    if not team.is_alone:  # no two processes drop the same values, and a resumed run drops those of an unbroken one
        torch.manual_seed(int(np.random.SeedSequence([learner.seed, step, team.rank]).generate_state(1)[0]))
    with team.lost_is_told():
        loss = _loss(learner, batch)
        part = len(batch[1]) / options.batch_size
        learner.optimizer.zero_grad(set_to_none=True)
        (loss * (part * team.size)).backward()  # type: ignore[no-untyped-call]
    learner.optimizer.step()
    value = team.total(float(loss.detach()) * part)
    if not math.isfinite(value):
        hint = "Train again with a smaller --lr"
        raise team.common(UsageError(f"the loss is {value} at step {step + 1}", hint=hint))
    return value


def set_training(model: nn.Module, *, training: bool) -> bool:
    """Switch the mode and return the old one; an exported graph has its mode built in and is left alone."""
    was = model.training
    if not isinstance(model, torch.fx.GraphModule) and was != training:
        model.train(training)
    return was


def _loss(learner: Learner, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the loss of this process's images, always in float32."""
    task, options = learner.task, learner.options
    device = next(learner.model.parameters()).device
    x = batch[0].to(device, memory_format=torch.channels_last)
    targets = batch[1].to(device)
    soft = task.teacher is not None and options.distill > 0
    with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
        logits = learner.forward(x).float()
        with torch.no_grad():
            taught = task.teacher(x).float() if soft and task.teacher is not None else None
    loss = functional.cross_entropy(logits, targets, label_smoothing=options.label_smoothing)
    if taught is None:
        return loss
    return (1 - options.distill) * loss + options.distill * _distillation(logits, taught, options.temperature)


def _distillation(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return the Kullback-Leibler distance to the teacher's softened outputs. Source: arXiv 1503.02531."""
    wanted = functional.log_softmax(taught / temperature, dim=1)
    given = functional.log_softmax(logits / temperature, dim=1)
    distance = functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
    return distance * temperature**2
