"""Batch norms are measured again, and training finds back what pruning lost."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from nets import PREPROCESS, SMALL, Built, linear, mixed, some, tiny
from torch import Tensor, nn

from attendc.compress.pruning.channels import remove_channels
from attendc.compress.pruning.dependencies import find_dependencies
from attendc.compress.pruning.recover import HELD_OUT, RECOVER_OPTIONS, recover, refresh_batch_norms
from attendc.context import Context
from attendc.data.images import Dataset, Images, evenly, images_from_array, take
from attendc.data.preprocess import batches
from attendc.errors import DataError
from attendc.train import TrainOptions, accuracy
from attendc.types import Preprocess

ONE_PIXEL = Preprocess(1, 1, 1, (0.5,), (0.5,), "none")


def noise(count: int) -> Images:
    """Return images of one pixel, the first of the same 200."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 1, 1), np.uint8)[:count]
    return images_from_array(pixels, np.zeros(count, np.int64))


def normed() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(0.5), nn.Flatten(1)).eval()


def refreshed(net: nn.Module, images: Images, preprocess: Preprocess = SMALL, **options: int) -> nn.Module:
    """Return a copy with batch norms measured again."""
    other = copy.deepcopy(net)
    refresh_batch_norms(other, images, preprocess, Context(), **options)
    return other


@torch.no_grad()
def before_the_norm(net: nn.Sequential, images: Images) -> list[Tensor]:
    """Return what the batch norm sees of each batch of 64, a row a channel."""
    return [net[0](x).transpose(0, 1).flatten(1) for x, _ in batches(images, SMALL, batch_size=64)]


# Batch norms


def test_statistics_become_those_of_the_images(mini: Dataset) -> None:
    net, images = normed(), take(mini.train, range(50))
    (values,) = before_the_norm(net, images)
    norm = refreshed(net, images)[1]
    torch.testing.assert_close(norm.running_mean, values.mean(1))
    torch.testing.assert_close(norm.running_var, values.var(1))


def test_over_several_batches_they_are_the_mean_of_all(mini: Dataset) -> None:
    net, images = normed(), take(mini.train, range(192))
    values = before_the_norm(net, images)
    norm = refreshed(net, images)[1]
    torch.testing.assert_close(norm.running_mean, torch.stack([v.mean(1) for v in values]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([v.var(1) for v in values]).mean(0))


def test_the_images_that_are_looked_at_are_spread_over_all(mini: Dataset) -> None:
    few = refreshed(normed(), mini.train, count=60)
    assert torch.equal(few[1].running_mean, refreshed(normed(), evenly(mini.train, 60))[1].running_mean)


def test_nothing_else_changes(mini: Dataset) -> None:
    net = mixed()
    after = refreshed(net, take(mini.train, range(20)))
    statistics = {"stem.1.running_mean", "stem.1.running_var", "stem.1.num_batches_tracked"}
    state = after.state_dict()
    assert {n for n, v in net.state_dict().items() if not torch.equal(v, state[n])} <= statistics
    assert not any(m.training for m in after.modules())


def test_dropout_keeps_out_of_it(mini: Dataset) -> None:
    net, images = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1), nn.Flatten(1)), take(mini.train, range(20))
    (x, _), *_ = batches(images, SMALL, batch_size=20)
    torch.testing.assert_close(refreshed(net, images)[1].running_var, x.var().view(1))


def test_the_momentum_is_what_it_was(mini: Dataset) -> None:
    assert refreshed(normed(), take(mini.train, range(20)))[1].momentum == 0.3


def test_the_same_images_give_the_same_statistics_whatever_was_there(mini: Dataset) -> None:
    other = normed()
    other[1].running_mean.fill_(7)
    images = take(mini.train, range(20))
    assert torch.equal(refreshed(other, images)[1].running_mean, refreshed(normed(), images)[1].running_mean)


def test_a_norm_without_statistics_has_none_to_measure(mini: Dataset) -> None:
    net = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(1))
    assert refreshed(net, take(mini.train, range(20)))[0].running_mean is None


@pytest.mark.parametrize("count", [2, 65, 129])
def test_where_one_pixel_is_left_a_batch_of_one_image_is_left_out(count: int) -> None:
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(1))
    after, whole = (refreshed(net, noise(n), ONE_PIXEL) for n in (count, count - count % 2))
    assert after[0].running_var.isfinite().all()
    assert after[0].running_var != 1
    assert torch.equal(after[0].running_mean, whole[0].running_mean)


@pytest.mark.parametrize("count", [0, 1])
def test_without_images_the_statistics_stay(count: int) -> None:
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(1))
    net[0].running_mean.fill_(7)
    after = refreshed(net, noise(count), ONE_PIXEL)
    assert after[0].running_mean == 7
    assert after[0].momentum == 0.1


# Training

PLAIN = TrainOptions(epochs=1, batch_size=19, lr=1e-3, flip=False, shift=0, label_smoothing=0.0)


def test_the_rounds_share_the_images_and_hold_the_same_ones_out(mini: Dataset) -> None:
    images, read = take(mini.train, range(60)), []
    noting = Images(lambda indices: read.extend(indices) or images.read(indices), images.targets)
    dataset = Dataset("noting", noting, noting, mini.labels)
    shares: list[set[int]] = []
    for turn in range(3):
        read.clear()
        recover(linear(), linear(), dataset, PREPROCESS, PLAIN, Context(), turn=(turn, 3))
        shares.append(set(read))
    held_out = set.intersection(*shares)
    assert len(held_out) == 60 * HELD_OUT == 3
    trained = [share - held_out for share in shares]
    assert [len(t) for t in trained] == [19, 19, 19]
    assert set.union(*shares) == set(range(60))


def test_training_finds_back_what_pruning_lost(built: Built, mini: Dataset) -> None:
    pruned, sample = copy.deepcopy(built.net), torch.zeros(1, 1, 8, 8)
    (group,) = (g for g in find_dependencies(pruned, sample).groups if g.name == "grouped")
    remove_channels(pruned, group, range(0, 8, 2), sample)
    train, judged = some(mini.train, 100), some(mini.test, 20)
    refresh_batch_norms(pruned, train, SMALL, Context())
    before = accuracy(pruned, judged, SMALL)
    options = TrainOptions(epochs=3, batch_size=32, lr=1e-2, distill=0.9, flip=False, shift=0)
    result = recover(pruned, built.net, Dataset("some", train, judged, mini.labels), SMALL, options, Context())
    assert accuracy(pruned, judged, SMALL) > before + 0.1
    assert all(torch.equal(v, result.best[n]) for n, v in pruned.state_dict().items())
    assert not any(m.training for m in pruned.modules())


@pytest.mark.parametrize("distill", [0.0, 0.9])
def test_the_teacher_stays_as_it_is(mini: Dataset, distill: float) -> None:
    teacher = tiny().eval()
    before = copy.deepcopy(teacher.state_dict())
    images = take(mini.train, range(40))
    options = TrainOptions(epochs=1, batch_size=19, distill=distill)
    recover(tiny(seed=1), teacher, Dataset("x", images, images, mini.labels), PREPROCESS, options, Context())
    assert all(torch.equal(v, before[n]) for n, v in teacher.state_dict().items())
    assert all(p.requires_grad for p in teacher.parameters())


def test_a_teacher_is_listened_to(mini: Dataset) -> None:
    images = take(mini.train, range(40))
    dataset = Dataset("x", images, images, mini.labels)
    weights = []
    for seed in (1, 2):
        student = linear()
        recover(student, linear(seed=seed), dataset, PREPROCESS, TrainOptions(1, 19, distill=0.9), Context())
        weights.append(student[1].weight)
    assert not torch.allclose(weights[0], weights[1], atol=1e-4)


def test_the_default_is_taught_by_the_network_as_it_was() -> None:
    assert (RECOVER_OPTIONS.distill, RECOVER_OPTIONS.epochs) == (0.9, 2)


def test_a_share_that_makes_no_batch_is_refused(mini: Dataset) -> None:
    images = take(mini.train, range(40))
    dataset = Dataset("x", images, images, mini.labels)
    with pytest.raises(DataError, match="batch"):
        recover(linear(), linear(), dataset, PREPROCESS, PLAIN, Context(), turn=(0, 3))
