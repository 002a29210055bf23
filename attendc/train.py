"""The one training loop: training, recovery after pruning, quantization-aware training and distillation use it.

Every random choice is drawn from (seed, epoch, step), so a run that was killed and resumed gives the same weights
as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attendc.context import Context
from attendc.data.augment import flip_and_shift
from attendc.data.images import Images, take
from attendc.data.order import shuffled
from attendc.data.prefetch import batches_ahead
from attendc.data.preprocess import batches, fitted, normalise
from attendc.data.reopen import Described, described, reopened
from attendc.distributed.replica import replicated
from attendc.distributed.team import the_team
from attendc.errors import CheckpointError, DataError, UsageError
from attendc.recipe import Precision
from attendc.train_state import Progress, load_state, save_state
from attendc.train_step import Learner, learning_rate, new_optimizer, set_training, step_of
from attendc.types import Preprocess

__all__ = ["Task", "TrainOptions", "TrainResult", "accuracy", "hold_out", "learning_rate", "train"]

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
        precision: of convolutions and matrix products; weights, their updates, losses and what is measured are
            float32 in any case.
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
    precision: Precision = "float32"
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
    team = the_team()
    _check(task, options, team.size)
    if task.teacher is not None:
        set_training(task.teacher.to(context.device), training=False)
    torch.manual_seed(context.seed)
    model.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = new_optimizer(model, options)
    signature = {**asdict(options), "seed": context.seed, "images": len(task.train)}
    done = _progress(model, optimizer, signature, context, state_file, resume=resume)
    sent = (task.preprocess, task.on_step, options, context.seed, context.device, optimizer.state_dict(), done)
    if not team.is_alone:
        images = (described(task.train), described(task.val))
        team.call(_train_along, model, task.teacher if options.distill > 0 else None, images, *sent)
        team.agreed(lambda: None)  # the others are ready
        context.say(f"{team.size} processes train together, with {options.batch_size / team.size:g} images each a step")
    saved_at = time.monotonic()

    def save(*, now: bool) -> None:
        nonlocal saved_at
        due = now or done.step % options.save_every == 0 or time.monotonic() - saved_at >= SAVE_SECONDS
        if due and state_file is not None:
            save_state(state_file, model, optimizer, done, signature)
        saved_at = time.monotonic() if due else saved_at

    with team.working(), replicated(model, team, context.device) as forward:
        learner = Learner(model, forward, optimizer, task, options, context.seed, team)
        _epochs(learner, done, context, save)
    last = _weights(model)
    rows = tuple(done.curve)
    last_accuracy = rows[-1]["val_accuracy"] if rows else accuracy(model, task.val, task.preprocess)
    if done.best is None:
        return TrainResult(last, last_accuracy, last, last_accuracy, rows)
    return TrainResult(done.best, done.best_accuracy, last, last_accuracy, rows)


def _epochs(learner: Learner, done: Progress, context: Context, save: Callable[..., None]) -> None:
    """Go through the epochs that are left, and call `save` after each, and where a state may be due within."""
    epoch_steps, epochs, team = learner.epoch_steps, learner.options.epochs, learner.team
    with context.progress("train", learner.steps) as advance:
        advance(done.step, "")
        for epoch in range(done.step // epoch_steps, epochs):
            with closing(_epoch(learner, epoch, done.step % epoch_steps)) as batches:
                while (batch := team.agreed(partial(next, batches, None))) is not None:
                    loss = step_of(learner, batch, done.step)
                    done.step += 1
                    done.loss_sum += loss
                    advance(1, f"epoch {epoch + 1}/{epochs} loss {loss:.3f}")
                    if done.step % epoch_steps:
                        save(now=False)
            _end_epoch(learner, done, epoch, context)
            save(now=True)


def _train_along(
    model: nn.Module,
    teacher: nn.Module | None,
    images: tuple[Described, Described],
    preprocess: Preprocess,
    on_step: Callable[[nn.Module, int, int], None] | None,
    options: TrainOptions,
    seed: int,
    device: str,
    moments: dict[str, Any],
    done: Progress,
) -> None:
    """Train with the first process, which has sent this; it alone says and keeps what comes out."""
    team = the_team()

    def ready() -> tuple[Task, torch.optim.Optimizer]:
        team.take_device(device)
        task = Task(reopened(images[0]), reopened(images[1]), preprocess, teacher, on_step)
        if teacher is not None:
            set_training(teacher.to(device), training=False)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = new_optimizer(model, options)
        optimizer.load_state_dict(moments)
        return task, optimizer

    task, optimizer = team.agreed(ready)
    with replicated(model, team, device) as forward:
        learner = Learner(model, forward, optimizer, task, options, seed, team)
        _epochs(learner, done, Context(seed, device), lambda **_: None)


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


def _check(task: Task, options: TrainOptions, processes: int) -> None:
    """Look whether the task can be trained as the options say."""
    if len(task.train) < options.batch_size:
        raise DataError(
            f"{len(task.train)} training images make no batch of {options.batch_size}",
            hint="Give more images or a smaller --batch-size",
        )
    if options.batch_size < processes:
        raise UsageError(
            f"a batch of {options.batch_size} cannot be shared by {processes} processes",
            hint=f"Give --batch-size {processes} or more, or start fewer",
        )
    if options.distill > 0 and task.teacher is None:
        raise UsageError(f"distill is {options.distill}, but there is no teacher", hint="Name a teacher")


def accuracy(model: nn.Module, images: Images, preprocess: Preprocess, *, batch_size: int = 250) -> float:
    """Return top-1 accuracy (0..1) in eval mode; the mode the model was in is kept."""
    return _hits(model, images, preprocess, batch_size) / len(images)


@torch.no_grad()
def _hits(model: nn.Module, images: Images, preprocess: Preprocess, batch_size: int = 250) -> int:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    was_training = set_training(model, training=False)
    hits = 0
    for x, targets in batches(images, preprocess, batch_size=batch_size):
        x = x.to(device, memory_format=torch.channels_last)
        hits += int((model(x).argmax(1).cpu() == targets).sum())
    set_training(model, training=was_training)
    return hits


def _epoch(learner: Learner, epoch: int, first: int) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield the augmented batches of one epoch from batch number `first` on, of each this process's part.

    They are made ahead of the steps.
    """
    task, options, seed = learner.task, learner.options, learner.seed
    part = learner.team.part_of(options.batch_size)

    def made(index: int, chosen: list[int]) -> tuple[Tensor, Tensor]:
        drawn = np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(drawn))
        own = chosen[part]
        stack = flip_and_shift(
            fitted(task.train.read(own), task.preprocess),
            flip=options.flip,
            shift=options.shift,
            generator=generator,
            whole=len(chosen),
            part=part,
        )
        return normalise(stack, task.preprocess), torch.from_numpy(task.train.targets[own])

    order = shuffled(task.train, np.random.default_rng([seed, epoch]))
    yield from batches_ahead(task.train, order, options.batch_size, made, first=first)


def _end_epoch(learner: Learner, done: Progress, epoch: int, context: Context) -> None:
    """Measure on the validation images, a part in each process, and keep the weights if they are the best so far."""
    model, task, team = learner.model, learner.task, learner.team
    part = team.part_of(len(task.val))
    own = take(task.val, range(part.start, part.stop))
    reached = team.total(team.agreed(lambda: _hits(model, own, task.preprocess))) / len(task.val)
    loss = done.loss_sum / learner.epoch_steps
    done.loss_sum = 0.0
    done.curve.append({"epoch": epoch + 1, "loss": round(loss, 5), "val_accuracy": reached})
    context.say(f"epoch {epoch + 1}: loss {loss:.4f}, validation accuracy {reached:.2%}")
    if reached > done.best_accuracy:
        done.best_accuracy, done.best = reached, _weights(model)
    # Only the first process is told, and what stops it stops all of them.
    team.agreed(lambda: task.on_epoch(epoch + 1, reached) if task.on_epoch is not None else None)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
