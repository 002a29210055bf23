"""What training is judged by: top-1 accuracy, and images that are held out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets import PREPROCESS, linear, some, tiny

from attendc.data.images import Dataset, Images
from attendc.train import Task, accuracy, hold_out


@pytest.fixture(scope="module")
def task(mini: Dataset) -> Task:
    """Return 40 images to train on and 20 to validate."""
    return Task(some(mini.train, 4), some(mini.test, 2), PREPROCESS)


# Accuracy


def test_a_net_that_always_says_one_class_is_right_once_in_ten(mini: Dataset) -> None:
    model = linear()
    model[1].weight.data.zero_()
    model[1].bias.data = torch.eye(10)[3]
    assert accuracy(model, some(mini.test, 7), PREPROCESS) == 0.1


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_accuracy_does_not_depend_on_the_batches(task: Task, batch_size: int) -> None:
    expected = accuracy(tiny(), task.val, PREPROCESS)
    assert accuracy(tiny(), task.val, PREPROCESS, batch_size=batch_size) == expected


@pytest.mark.parametrize("training", [True, False])
def test_measuring_keeps_the_mode_and_the_statistics(task: Task, *, training: bool) -> None:
    model = tiny().train(training)
    accuracy(model, task.val, PREPROCESS)
    assert model.training is training
    before = tiny().state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# Held-out images


@pytest.mark.parametrize(("part", "expected"), [(0.05, 2), (0.25, 10), (0.001, 1)])
def test_held_out_images_are_disjoint_from_the_rest_and_none_is_lost(task: Task, part: float, expected: int) -> None:
    numbered = Images(lambda wanted: [np.full((1, 1, 1), i, np.uint8) for i in wanted], np.arange(40))
    rest, held = hold_out(numbered, part, seed=0)
    assert (len(rest), len(held)) == (40 - expected, expected)
    assert sorted([*rest.targets, *held.targets]) == list(range(40))
    assert [int(p[0, 0, 0]) for p in held.read(range(expected))] == held.targets.tolist()


def test_the_seed_draws_what_is_held_out(task: Task) -> None:
    drawn = [hold_out(Images(task.train.read, np.arange(40)), 0.25, seed=s)[1].targets.tolist() for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
