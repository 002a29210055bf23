"""The one training loop: training, recovery after pruning, quantization-aware training and distillation use it.

Every random choice is drawn from (seed, epoch, step), so a run that was killed and resumed gives the same weights
as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from attendc.context import Context
from attendc.data.augment import flip_and_shift
from attendc.data.images import Images, take
from attendc.data.order import shuffled
from attendc.data.prefetch import batches_ahead
from attendc.data.preprocess import batches, fitted, normalise
from attendc.errors import CheckpointError, DataError, UsageError
from attendc.train_state import Progress, load_state, save_state
from attendc.types import Preprocess

__all__ = ["Task", "TrainOptions", "TrainResult", "accuracy", "hold_out", "learning_rate", "train"]

FINAL_LR_RATIO = 0.01
SAVE_SECONDS = 30.0
"""A resume state is written at least so often, however long a step takes."""


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step; the last, smaller batch of an epoch is left out.
        lr: peak learning rate of AdamW.
        weight_decay: on convolution and linear weights only.
        warmup: part of all steps in which the rate rises linearly; then it falls along a cosine.
        label_smoothing: of the cross-entropy.
        flip: mirror half of the images.
        shift: move each image by up to so many pixels.
        distill: weight of the teacher's soft targets against the labels, 0..1; needs a teacher.
        temperature: of the soft targets.
        save_every: steps between two resume states; slow steps are saved more often.
    """

    epochs: int = 20
    batch_size: int = 64
    lr: float = 4e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    label_smoothing: float = 0.1
    flip: bool = True
    shift: int = 2
    distill: float = 0.0
    temperature: float = 2.0
    save_every: int = 200


@dataclass(frozen=True)
class Task:
    """What to train on.

    `on_step(model, step, steps)` is called before each step (QAT freezes ranges there), `on_epoch(epochs, accuracy)`
    after each epoch, with how many are done and the accuracy on `val`; what it raises ends the training.
    """

    train: Images
    val: Images
    preprocess: Preprocess
    teacher: nn.Module | None = None
    on_step: Callable[[nn.Module, int, int], None] | None = None
    on_epoch: Callable[[int, float], None] | None = None


@dataclass(frozen=True)
class TrainResult:
    """Weights and validation accuracy (0..1) at the best and at the last epoch; `curve` has one row an epoch."""

    best: dict[str, Tensor]
    best_accuracy: float
    last: dict[str, Tensor]
    last_accuracy: float
    curve: tuple[dict[str, float], ...]


def hold_out(images: Images, part: float, *, seed: int) -> tuple[Images, Images]:
    """Split off `part` of the images, drawn by the seed, to choose the best epoch by: (rest, held out).

    Of images that lie elsewhere whole shards are held out, but for one that is parted.
    """
    order = shuffled(images, np.random.default_rng([seed, 0x5E7]), mixed=1)
    cut = max(1, round(len(images) * part))
    return take(images, [int(i) for i in order[cut:]]), take(images, [int(i) for i in order[:cut]])


def learning_rate(step: int, steps: int, options: TrainOptions) -> float:
    """Return the rate of one step: linear warm-up, then a cosine down to `FINAL_LR_RATIO` of the peak."""
    warm = max(1, round(steps * options.warmup))
    if step < warm:
        return options.lr * (step + 1) / warm
    turn = (step - warm) / max(1, steps - warm)
    low = options.lr * FINAL_LR_RATIO
    return low + (options.lr - low) * 0.5 * (1 + math.cos(math.pi * turn))


def train(
    model: nn.Module,
    task: Task,
    options: TrainOptions,
    context: Context,
    *,
    state_file: Path | None = None,
    resume: bool = False,
) -> TrainResult:
    """Train `model` in place, keeping a resume state in `state_file` if one is named.

    A `state_file` in the context's resume folder is gone on from wherever there is one. What does not fit there is no
    fault of the user's: it is said, and training begins anew. Elsewhere `resume` decides, and the state must fit.

    Raises:
        DataError: if an epoch has no whole batch.
        UsageError: if the options contradict each other, or the loss stops being a number.
        CheckpointError: if `resume` is asked for and the state is missing, damaged or of other options.
        OutputError: if the state cannot be written.
    """
    epoch_steps = _checked_epoch_steps(task, options)
    if task.teacher is not None:
        _set_training(task.teacher.to(context.device), training=False)
    torch.manual_seed(context.seed)
    model.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(model, options)
    signature = {**asdict(options), "seed": context.seed, "images": len(task.train)}
    done = _progress(model, optimizer, signature, context, state_file, resume=resume)
    saved_at = time.monotonic()

    def save() -> None:
        nonlocal saved_at
        if state_file is not None:
            save_state(state_file, model, optimizer, done, signature)
        saved_at = time.monotonic()

    steps = options.epochs * epoch_steps
    with context.progress("train", steps) as advance:
        advance(done.step, "")
        for epoch in range(done.step // epoch_steps, options.epochs):
            for pixels, targets in _epoch(task, options, context.seed, epoch, done.step % epoch_steps):
                loss = _step(model, optimizer, task, options, (pixels, targets), done.step, steps)
                done.step += 1
                done.loss_sum += loss
                advance(1, f"epoch {epoch + 1}/{options.epochs} loss {loss:.3f}")
                due = done.step % options.save_every == 0 or time.monotonic() - saved_at >= SAVE_SECONDS
                if due and done.step % epoch_steps:
                    save()
            _end_epoch(model, task, done, epoch, epoch_steps, context)
            save()
    last = _weights(model)
    rows = tuple(done.curve)
    last_accuracy = rows[-1]["val_accuracy"] if rows else accuracy(model, task.val, task.preprocess)
    if done.best is None:
        return TrainResult(last, last_accuracy, last, last_accuracy, rows)
    return TrainResult(done.best, done.best_accuracy, last, last_accuracy, rows)


def _progress(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    signature: dict[str, Any],
    context: Context,
    state_file: Path | None,
    *,
    resume: bool,
) -> Progress:
    """Return where training begins, with the state of `state_file` in place if there is one to go on from."""
    if state_file is not None and state_file.parent == context.resume_folder:
        if not state_file.exists():
            return Progress()
        try:
            done = load_state(state_file, model, optimizer, signature)
        except CheckpointError as e:
            context.say(f"{e.message}; training begins anew")
            return Progress()
        context.say(f"training goes on from step {done.step}")
        return done
    if resume and state_file is not None:
        return load_state(state_file, model, optimizer, signature)
    return Progress()


def _checked_epoch_steps(task: Task, options: TrainOptions) -> int:
    """Return the steps of an epoch, after a look whether the task can be trained as the options say."""
    epoch_steps = len(task.train) // options.batch_size
    if epoch_steps == 0:
        raise DataError(
            f"{len(task.train)} training images make no batch of {options.batch_size}",
            hint="Give more images or a smaller --batch-size",
        )
    if options.distill > 0 and task.teacher is None:
        raise UsageError(f"distill is {options.distill}, but there is no teacher", hint="Name a teacher")
    return epoch_steps


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, preprocess: Preprocess, *, batch_size: int = 250) -> float:
    """Return top-1 accuracy (0..1) in eval mode; the mode the model was in is kept."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    was_training = _set_training(model, training=False)
    hits = 0
    for x, targets in batches(images, preprocess, batch_size=batch_size):
        x = x.to(device, memory_format=torch.channels_last)
        hits += int((model(x).argmax(1).cpu() == targets).sum())
    _set_training(model, training=was_training)
    return hits / len(images)


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    options: TrainOptions,
    batch: tuple[Tensor, Tensor],
    step: int,
    steps: int,
) -> float:
    """Do one step of AdamW and return its loss."""
    if task.on_step is not None:
        task.on_step(model, step, steps)
    _set_training(model, training=True)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, steps, options)
    device = next(model.parameters()).device
    x = batch[0].to(device, memory_format=torch.channels_last)
    targets = batch[1].to(device)
    logits = model(x)
    loss = functional.cross_entropy(logits, targets, label_smoothing=options.label_smoothing)
    if task.teacher is not None and options.distill > 0:
        soft = _distillation(logits, x, task.teacher, options.temperature)
        loss = (1 - options.distill) * loss + options.distill * soft
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise UsageError(f"the loss is {value} at step {step + 1}", hint="Train again with a smaller --lr")
    return value


def _distillation(logits: Tensor, x: Tensor, teacher: nn.Module, temperature: float) -> Tensor:
    """Return the Kullback-Leibler distance to the teacher's softened outputs. Source: arXiv 1503.02531."""
    with torch.no_grad():
        wanted = functional.log_softmax(teacher(x) / temperature, dim=1)
    given = functional.log_softmax(logits / temperature, dim=1)
    distance = functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
    return distance * temperature**2


def _epoch(task: Task, options: TrainOptions, seed: int, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the augmented batches of one epoch from batch number `first` on; they are made ahead of the steps."""

    def made(index: int, chosen: list[int]) -> tuple[Tensor, Tensor]:
        drawn = np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(drawn))
        stack = fitted(task.train.read(chosen), task.preprocess)
        stack = flip_and_shift(stack, flip=options.flip, shift=options.shift, generator=generator)
        return normalise(stack, task.preprocess), torch.from_numpy(task.train.targets[chosen])

    order = shuffled(task.train, np.random.default_rng([seed, epoch]))
    yield from batches_ahead(task.train, order, options.batch_size, made, first=first)


def _end_epoch(model: nn.Module, task: Task, done: Progress, epoch: int, epoch_steps: int, context: Context) -> None:
    """Measure on the validation images and keep the weights if they are the best so far."""
    reached = accuracy(model, task.val, task.preprocess)
    loss = done.loss_sum / epoch_steps
    done.loss_sum = 0.0
    done.curve.append({"epoch": epoch + 1, "loss": round(loss, 5), "val_accuracy": reached})
    context.say(f"epoch {epoch + 1}: loss {loss:.4f}, validation accuracy {reached:.2%}")
    if reached > done.best_accuracy:
        done.best_accuracy, done.best = reached, _weights(model)
    if task.on_epoch is not None:
        task.on_epoch(epoch + 1, reached)


def _optimizer(model: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """Return AdamW that decays matrices and kernels, not biases, norms or ranges (Source: arXiv 1812.01187, 3.1)."""
    for name in ("lr", "weight_decay"):
        if not 0 <= getattr(options, name) < math.inf:
            raise UsageError(f"{name} is {getattr(options, name)}", hint="It must be a number from 0 on")
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.lr)


def _set_training(model: nn.Module, *, training: bool) -> bool:
    """Switch the mode and return the old one; an exported graph has its mode built in and is left alone."""
    was = model.training
    if not isinstance(model, torch.fx.GraphModule) and was != training:
        model.train(training)
    return was


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
