"""The training loop: its schedule, that it learns, and that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import PREPROCESS, linear, some, tiny
from torch import Tensor, nn

from attendc.context import Advance, Context
from attendc.data.images import Dataset, Images, take
from attendc.data.preprocess import batches
from attendc.errors import CheckpointError, DataError, UsageError
from attendc.train import Task, TrainOptions, TrainResult, accuracy, learning_rate, train

FEW = TrainOptions(epochs=2, batch_size=8, lr=1e-2, save_every=3)  # 40 images: 5 steps an epoch


class Killed(BaseException):
    """Stands for whatever ends a process."""


@pytest.fixture(scope="module")
def task(mini: Dataset) -> Task:
    """Return 40 images to train on and 20 to validate."""
    return Task(some(mini.train, 4), some(mini.test, 2), PREPROCESS)


def with_dropout() -> nn.Module:
    """Return a net that draws random numbers while it is trained."""
    return nn.Sequential(nn.Dropout(0.5), *linear())


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def killer(at: int) -> Callable[[nn.Module, int, int], None]:
    def on_step(model: nn.Module, step: int, steps: int) -> None:
        if step == at:
            raise Killed

    return on_step


def trained(model: nn.Module, task: Task, *, seed: int = 0, **options: Any) -> TrainResult:
    return train(model, task, dataclasses.replace(FEW, **options), Context(seed))


# Schedule


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.1),  # 1 of 10 steps of warm-up
        (4, 0.5),
        (9, 1.0),  # the peak, at the end of the warm-up
        (10, 1.0),  # the cosine begins
        (55, 0.505),  # its middle: (1 + 0.01) / 2
        (100, 0.01),  # its end: 1 % of the peak
    ],
)
def test_the_rate_rises_linearly_then_falls_along_a_cosine(step: int, expected: float) -> None:
    options = TrainOptions(lr=1.0, warmup=0.1)
    assert learning_rate(step, 100, options) == pytest.approx(expected)


def test_the_last_step_is_almost_at_one_percent_and_no_step_rises_after_the_peak() -> None:
    rates = [learning_rate(i, 1000, TrainOptions(lr=4e-3)) for i in range(1000)]
    assert rates[-1] == pytest.approx(4e-5, rel=1e-3)
    assert rates.index(max(rates)) == 49  # 5 % of 1000
    assert rates[49:] == sorted(rates[49:], reverse=True)


def test_a_run_of_one_step_uses_the_peak() -> None:
    assert learning_rate(0, 1, TrainOptions(lr=4e-3)) == 4e-3


def test_each_step_is_announced_before_it_is_done(task: Task) -> None:
    told: list[tuple[int, int]] = []
    seeing = dataclasses.replace(task, on_step=lambda model, step, steps: told.append((step, steps)))
    trained(linear(), seeing)
    assert told == [(i, 10) for i in range(10)]  # 2 epochs of 5 steps


# Learning


def test_a_tiny_net_learns_to_tell_trousers_from_boots(mini: Dataset) -> None:
    easy = Task(some(mini.train, 96, (1, 9)), some(mini.test, 50, (1, 9)), PREPROCESS)
    result = trained(tiny(), easy, epochs=5, batch_size=16, lr=4e-3)
    assert result.last_accuracy > 0.9  # chance: 0.5


def test_a_net_that_knows_nothing_has_the_loss_of_chance(task: Task) -> None:
    model = linear()
    for p in model.parameters():
        p.data.zero_()
    result = trained(model, task, lr=0.0, epochs=2)
    assert [row["loss"] for row in result.curve] == pytest.approx([math.log(10)] * 2, abs=1e-4)


def test_the_curve_has_a_row_an_epoch_and_the_best_is_its_maximum(task: Task) -> None:
    result = trained(tiny(), task, epochs=3)
    reached = [row["val_accuracy"] for row in result.curve]
    assert [row["epoch"] for row in result.curve] == [1, 2, 3]
    assert (result.best_accuracy, result.last_accuracy) == (max(reached), reached[-1])


def test_the_best_weights_reach_the_best_accuracy(task: Task) -> None:
    model = linear()
    result = trained(model, task, epochs=4, lr=0.3)
    assert equal(result.last, model.state_dict())
    model.load_state_dict(result.best)
    assert accuracy(model, task.val, PREPROCESS) == result.best_accuracy


def test_no_epochs_leave_the_weights_and_measure_them(task: Task) -> None:
    model = tiny()
    result = trained(model, task, epochs=0)
    assert equal(result.last, tiny().state_dict())
    assert equal(result.best, tiny().state_dict())
    assert result.best_accuracy == result.last_accuracy == accuracy(model, task.val, PREPROCESS)


def test_fewer_images_than_a_batch_are_refused(task: Task) -> None:
    with pytest.raises(DataError, match=r"40 training images make no batch of 41. .*smaller --batch-size"):
        trained(linear(), task, batch_size=41)


def test_a_loss_that_is_not_finite_ends_the_run(task: Task) -> None:
    with pytest.raises(UsageError, match=r"the loss is (nan|inf) at step \d+.*smaller --lr"):
        trained(linear(), task, lr=1e37)


@pytest.mark.parametrize(("name", "value"), [("lr", -1.0), ("lr", math.nan), ("weight_decay", math.inf)])
def test_a_rate_that_is_no_number_from_0_on_is_refused(task: Task, name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name} is {value}. It must be a number from 0 on"):
        trained(linear(), task, **{name: value})


def test_each_epoch_is_said_and_every_step_counted(task: Task) -> None:
    said: list[str] = []
    counted: list[int] = []

    @contextmanager
    def progress(title: str, total: int) -> Iterator[Advance]:
        yield lambda count, text="": counted.append(count)
        assert sum(counted) == total == 10

    train(linear(), task, FEW, Context(progress=progress, say=said.append))
    assert [line.partition(":")[0] for line in said] == ["epoch 1", "epoch 2"]


# Precision


def test_mixed_precision_learns_the_same_but_for_rounding(task: Task) -> None:
    """bfloat16 has 8 significant bits: a product is off by up to 1/256 of it, and so is the gradient."""
    exact, mixed = (trained(tiny(), task, precision=p, epochs=1) for p in ("float32", "bfloat16"))
    assert all(v.dtype == exact.last[k].dtype for k, v in mixed.last.items())  # weights are float32
    assert not equal(exact.last, mixed.last)
    assert mixed.curve[0]["loss"] == pytest.approx(exact.curve[0]["loss"], rel=0.02)


def test_what_is_measured_is_always_in_float32(task: Task) -> None:
    result = trained(tiny(), task, precision="bfloat16", epochs=1)
    model = tiny()
    model.load_state_dict(result.last)
    assert accuracy(model, task.val, PREPROCESS) == result.last_accuracy


# Decay


def test_weight_decay_shrinks_kernels_and_leaves_biases_and_norms(task: Task) -> None:
    start, rate, decay = tiny().state_dict(), 1e-2, 0.5
    one_step = {"epochs": 1, "batch_size": 40, "lr": rate}
    plain = trained(tiny(), task, weight_decay=0.0, **one_step).last
    decayed = trained(tiny(), task, weight_decay=decay, **one_step).last
    for name, before in start.items():
        lost = rate * decay * before if before.ndim > 1 else torch.zeros_like(before)  # AdamW: w -= lr * decay * w
        assert torch.allclose(plain[name] - decayed[name], lost, atol=1e-7), name


# Seeds


@pytest.mark.parametrize("net", [tiny, with_dropout])
def test_the_same_seed_gives_the_same_weights(task: Task, net: Callable[[], nn.Module]) -> None:
    first, again, other = (trained(net(), task, seed=s).last for s in (1, 1, 2))
    assert equal(first, again)
    assert not equal(first, other)


def test_random_numbers_drawn_elsewhere_do_not_matter(task: Task) -> None:
    first = trained(with_dropout(), task).last
    model = with_dropout()
    torch.rand(7)
    np.random.default_rng().random()
    assert equal(trained(model, task).last, first)


class Seeing(nn.Module):
    """A linear net that keeps what it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.net = linear()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(x)
        logits: Tensor = self.net(x)
        return logits


def test_every_batch_is_augmented_in_its_own_way(task: Task) -> None:
    model, one = Seeing(), take(task.train, [0] * 16)  # copies of one image: 2 batches an epoch, 2 epochs
    trained(model, dataclasses.replace(task, train=one))
    assert len(model.seen) == 4
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(model.seen, 2))


def test_every_epoch_has_an_order_of_its_own(task: Task) -> None:
    model = Seeing()
    trained(model, task, flip=False, shift=0)
    first, second = torch.cat(model.seen[:5]), torch.cat(model.seen[5:])
    assert not torch.equal(first, second)
    assert torch.equal(first.sum((1, 2, 3)).sort()[0], second.sum((1, 2, 3)).sort()[0])  # of the same images


# Resuming


@pytest.mark.parametrize("at", [4, 5, 7, 9])  # states: steps 3, 5 (epoch), 6, 9, 10 (epoch)
@pytest.mark.parametrize("net", [tiny, with_dropout])
def test_a_killed_run_goes_on_to_the_very_same_weights(
    task: Task, tmp_path: Path, net: Callable[[], nn.Module], at: int
) -> None:
    state = tmp_path / "x.resume"
    with pytest.raises(Killed):
        train(net(), dataclasses.replace(task, on_step=killer(at)), FEW, Context(), state_file=state)
    resumed = train(net(), task, FEW, Context(), state_file=state, resume=True)
    unbroken = trained(net(), task)
    assert equal(resumed.last, unbroken.last)
    assert equal(resumed.best, unbroken.best)
    assert (resumed.curve, resumed.best_accuracy) == (unbroken.curve, unbroken.best_accuracy)


def test_a_resumed_run_does_only_the_steps_that_are_left(task: Task, tmp_path: Path) -> None:
    state, steps = tmp_path / "x.resume", []
    with pytest.raises(Killed):
        train(linear(), dataclasses.replace(task, on_step=killer(7)), FEW, Context(), state_file=state)
    seeing = dataclasses.replace(task, on_step=lambda model, step, _: steps.append(step))
    train(linear(), seeing, FEW, Context(), state_file=state, resume=True)
    assert steps == [6, 7, 8, 9]


def test_resuming_a_finished_run_changes_nothing(task: Task, tmp_path: Path) -> None:
    state = tmp_path / "x.resume"
    first = train(tiny(), task, FEW, Context(), state_file=state)
    again = train(tiny(), task, FEW, Context(), state_file=state, resume=True)
    assert equal(first.last, again.last)
    assert first.curve == again.curve


@pytest.fixture
def state(task: Task, tmp_path: Path) -> Path:
    """Return the resume state of a finished run of a linear net."""
    train(linear(), task, FEW, Context(), state_file=tmp_path / "x.resume")
    return tmp_path / "x.resume"


def resume(state: Path, task: Task, model: nn.Module, seed: int = 0, **changed: Any) -> TrainResult:
    options = dataclasses.replace(FEW, **changed)
    return train(model, task, options, Context(seed), state_file=state, resume=True)


def test_resuming_with_other_options_names_them(task: Task, state: Path) -> None:
    text = r"is of another run: epochs 2 then, 3 now, lr 0\.01 then, 0\.1 now\. Repeat the same options"
    with pytest.raises(CheckpointError, match=text):
        resume(state, task, linear(), epochs=3, lr=0.1)


def test_resuming_with_another_seed_or_other_images_is_refused(task: Task, state: Path) -> None:
    fewer = dataclasses.replace(task, train=take(task.train, range(39)))
    with pytest.raises(CheckpointError, match="images 40 then, 39 now, seed 0 then, 1 now"):
        resume(state, fewer, linear(), seed=1)


def test_resuming_with_another_network_is_refused(task: Task, state: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is of another network.*Repeat the same options"):
        resume(state, task, tiny())


def test_resuming_what_was_never_begun_is_refused(task: Task, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no resume state .*x\.resume\. Run the command without --resume"):
        resume(tmp_path / "x.resume", task, linear())


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "a list", "no progress"])
def test_a_damaged_state_is_named(task: Task, state: Path, damage: str) -> None:
    content = torch.load(state)
    del content["progress"]
    broken = {"empty": b"", "truncated": state.read_bytes()[:-300], "text": b"once upon a time"}
    if damage in broken:
        state.write_bytes(broken[damage])
    else:
        torch.save([1, 2] if damage == "a list" else content, state)
    with pytest.raises(CheckpointError, match=r"resume state .*x\.resume cannot be read: .*Remove it"):
        resume(state, task, linear())


# Distillation


def agreement(first: nn.Module, second: nn.Module, images: Images) -> float:
    with torch.no_grad():
        x = torch.cat([x for x, _ in batches(images, PREPROCESS, batch_size=50)])
        return float((first(x).argmax(1) == second(x).argmax(1)).float().mean())


def test_distillation_alone_pulls_the_student_to_the_teacher(mini: Dataset) -> None:
    teacher, student, images = linear(seed=1), linear(seed=2), some(mini.train, 30)
    assert agreement(student, teacher, images) < 0.3
    taught = Task(images, some(mini.test, 2), PREPROCESS, teacher=teacher)
    trained(student, taught, distill=1.0, epochs=20, batch_size=30, lr=3e-2, flip=False, shift=0)
    assert agreement(student, teacher, images) > 0.8


def test_with_distill_1_the_labels_do_not_matter(task: Task) -> None:
    wrong = dataclasses.replace(task.train, targets=9 - task.train.targets)
    lasts = [
        trained(linear(), Task(images, task.val, PREPROCESS, linear(seed=1)), distill=1.0).last
        for images in (task.train, wrong)
    ]
    assert equal(*lasts)


def test_with_distill_0_the_teacher_does_not_matter(task: Task) -> None:
    taught = dataclasses.replace(task, teacher=linear(seed=1))
    assert equal(trained(linear(), taught).last, trained(linear(), task).last)


def test_the_teacher_is_not_changed(task: Task) -> None:
    teacher = tiny(seed=1).train()  # in which batch norms would follow what they see
    trained(linear(), dataclasses.replace(task, teacher=teacher), distill=0.5)
    assert equal(teacher.state_dict(), tiny(seed=1).state_dict())
    assert all(p.grad is None for p in teacher.parameters())


def test_distillation_without_a_teacher_is_refused(task: Task) -> None:
    with pytest.raises(UsageError, match=r"distill is 0\.5, but there is no teacher"):
        trained(linear(), task, distill=0.5)
