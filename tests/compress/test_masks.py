"""Masks: what becomes zero, what stays, and that training keeps it so."""

from __future__ import annotations

import copy

import pytest
import torch
from nets import NANO, PREPROCESS, SMALL, linear, mixed, settle, some, tiny
from torch import Tensor, nn

from attendc.compress.capture import probe
from attendc.compress.masks import MaskKind, frozen_zeros, mask_weights
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.errors import UsageError
from attendc.opening import CheckpointRequest, open_checkpoint
from attendc.train import Task, TrainOptions, train

IMAGE = torch.zeros(1, 1, 8, 8)
KINDS: list[tuple[MaskKind, float]] = [("unstructured", 0.3), ("2:4", 0.5)]


@pytest.fixture(scope="module")
def nano() -> nn.Module:
    return open_checkpoint(CheckpointRequest(NANO)).model


def weights_of(model: nn.Module, names: dict[str, float]) -> dict[str, Tensor]:
    return {name: model.get_parameter(name).detach() for name in names}


def part_of_zeros(model: nn.Module, names: dict[str, float]) -> float:
    return float((torch.cat([w.flatten() for w in weights_of(model, names).values()]) == 0).double().mean())


def fours(weight: Tensor) -> Tensor:
    """All groups of four in the rows of a weight; a row is what one output channel multiplies."""
    return weight.flatten(1).reshape(-1, 4)


@pytest.mark.parametrize("ratio", [0.5, 0.8])
def test_the_part_asked_for_is_zero_in_the_shipped_network(nano: nn.Module, ratio: float) -> None:
    masked, parts = mask_weights(nano, "unstructured", ratio, torch.zeros(1, 1, 32, 32))
    assert part_of_zeros(masked, parts) == pytest.approx(ratio, abs=0.01)
    layers = [name for name, m in nano.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert list(parts) == [f"{name}.weight" for name in layers]


def test_the_smallest_weights_of_all_layers_go_measured_in_norms_of_their_layers() -> None:
    net = mixed()
    masked, parts = mask_weights(net, "unstructured", 0.5, IMAGE)
    size = {name: (w.abs() / w.norm()).flatten() for name, w in weights_of(net, parts).items()}
    gone = {name: (w == 0).flatten() for name, w in weights_of(masked, parts).items()}
    sizes, all_gone = torch.cat([*size.values()]), torch.cat([*gone.values()])
    assert sizes[all_gone].max() < sizes[~all_gone].min()
    assert len(set(parts.values())) > 1  # no layer was given a share of its own


def test_two_of_every_four_go_in_each_row_that_fours_fill() -> None:
    net = mixed()
    masked, parts = mask_weights(net, "2:4", 0.5, IMAGE)
    assert parts == {
        "stem.0.weight": 0.0,  # 1 x 3 x 3 = 9 weights in a row
        "depthwise.0.weight": 0.0,
        "gate.branch.weight": 0.5,
        "concat.left.weight": 0.5,
        "concat.right.weight": 0.5,
        "grouped.weight": 0.0,  # 2 x 3 x 3 = 18
        "head.weight": 0.5,
    }
    for name, part in parts.items():
        before, after = net.get_parameter(name), masked.get_parameter(name)
        if part:
            assert ((fours(after) == 0).sum(1) == 2).all()
            kept = fours(before).abs().masked_fill(fours(after) == 0, torch.inf).amin(1)
            lost = fours(before).abs().masked_fill(fours(after) != 0, 0).amax(1)
            assert (lost < kept).all()


def test_four_weights_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(2, 1, (1, 2), bias=False), nn.Flatten(1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[[[0.1, -0.9]], [[0.5, -0.2]]]]))
    masked, parts = mask_weights(net, "2:4", 0.5, torch.zeros(1, 2, 1, 2))
    assert masked[0].weight.flatten().tolist() == pytest.approx([0, -0.9, 0.5, 0])
    assert parts == {"0.weight": 0.5}


def test_two_of_every_four_in_the_shipped_network(nano: nn.Module) -> None:
    _, parts = mask_weights(nano, "2:4", 0.5, torch.zeros(1, 1, 32, 32))
    rows = {name: weight[0].numel() for name, weight in weights_of(nano, parts).items()}
    assert parts == {name: 0.5 if length % 4 == 0 else 0.0 for name, length in rows.items()}
    assert {0.0, 0.5} == set(parts.values())


@pytest.mark.parametrize(("kind", "ratio"), KINDS)
def test_what_is_not_masked_stays_as_it_was(kind: MaskKind, ratio: float) -> None:
    net = settle(tiny())
    before = copy.deepcopy(net.state_dict())
    masked, parts = mask_weights(net, kind, ratio, torch.zeros(1, 1, 16, 16))
    after = masked.state_dict()
    assert type(masked) is type(net)
    assert list(after) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    for name, value in after.items():
        kept = value != 0 if name in parts else torch.ones_like(value, dtype=torch.bool)
        assert torch.equal(value[kept], before[name][kept])
        assert parts.get(name, 0.0) == pytest.approx(float((~kept).double().mean()))
    assert all(p.requires_grad for p in masked.parameters())


def test_the_masked_network_computes_with_the_zeros() -> None:
    net, x = linear(), torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    masked, _ = mask_weights(net, "unstructured", 0.5, x[:1])
    weight = net[1].weight.detach()
    middle = weight.abs().flatten().kthvalue(1280).values  # 256 inputs x 10 classes, and half of them go
    expected = x.flatten(1) @ torch.where(weight.abs() > middle, weight, 0).T + net[1].bias
    assert torch.allclose(masked(x), expected, atol=1e-6)


def test_a_layer_of_zeros_leaves_the_others_their_part() -> None:
    net = nn.Sequential(nn.Flatten(1), nn.Linear(64, 100), nn.Linear(100, 10))
    nn.init.zeros_(net[1].weight)
    _, parts = mask_weights(net, "unstructured", 0.25, IMAGE)
    assert parts == {"1.weight": 1.0, "2.weight": pytest.approx(0.25, abs=0.01)}


def test_zeros_survive_training_and_the_other_weights_learn(mini: Dataset) -> None:
    images = some(mini.train, 4)
    masked, parts = mask_weights(linear(), "unstructured", 0.9, torch.zeros(1, 1, 16, 16))
    before = masked.get_parameter("1.weight").detach().clone()
    keep, zeros = frozen_zeros(masked), []

    def on_step(model: nn.Module, step: int, steps: int) -> None:
        keep(model, step, steps)
        zeros.append(part_of_zeros(model, parts))

    result = train(masked, Task(images, images, PREPROCESS, on_step=on_step), TrainOptions(2, 8), Context())
    assert zeros == [parts["1.weight"]] * 10  # 2 epochs of 5 batches of 8 of 40 images
    assert not torch.equal(result.last["1.weight"] == 0, before == 0)  # what the last step left, until:
    masked.load_state_dict(result.last)
    keep(masked, 0, 0)
    after = masked.get_parameter("1.weight").detach()
    assert torch.equal(after == 0, before == 0)
    assert not torch.equal(after, before)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, float("nan")])
def test_a_ratio_is_between_0_and_1(ratio: float) -> None:
    with pytest.raises(UsageError, match="ratio"):
        mask_weights(mixed(), "unstructured", ratio, probe(SMALL))


def test_two_of_four_has_one_ratio() -> None:
    with pytest.raises(UsageError, match=r"0\.6"):
        mask_weights(mixed(), "2:4", 0.6, probe(SMALL))


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="no weights"):
        mask_weights(nn.Sequential(nn.Flatten(1), nn.BatchNorm1d(64)), "unstructured", 0.5, probe(SMALL))
