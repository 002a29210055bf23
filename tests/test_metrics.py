"""Numbers about networks and outputs, each against a count by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from attendc.metrics import count_macs, count_params, distance_in_steps, sqnr_db, top1_accuracy, top1_agreement

LOGITS = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [5.0, 4.0]])  # classes 1, 0, 1, 0


def test_parameters_are_weights_and_biases() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(5, 2))
    assert count_params(net) == (3 * 4 * 9 + 4) + (4 + 4) + (5 * 2 + 2)


@pytest.mark.parametrize(
    ("net", "macs"),
    [
        (nn.Conv2d(3, 4, 3, padding=1), 3 * 4 * 9 * 8 * 8),
        (nn.Conv2d(3, 3, 3, padding=1, groups=3), 3 * 9 * 8 * 8),
        (nn.Conv2d(3, 4, 3, stride=2, padding=1), 3 * 4 * 9 * 4 * 4),
        (nn.Sequential(nn.Flatten(1), nn.Linear(192, 10)), 192 * 10),
        (nn.ReLU(), 0),
    ],
)
def test_macs_are_those_of_one_image(net: nn.Module, macs: int) -> None:
    assert count_macs(net, (3, 8, 8)) == macs


def test_attention_is_counted_also_where_torch_has_a_fused_kernel_for_a_whole_block() -> None:
    # 3 tokens of 64 numbers, 4 heads; torch runs the block as one operator in eval mode
    block = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 4, 32, batch_first=True)).eval()
    queries_keys_values, out, scores_and_sums = 3 * 64 * 192, 3 * 64 * 64, 2 * 3 * 3 * 64
    fast = torch.backends.mha.get_fastpath_enabled()
    assert count_macs(block, (3, 8, 8)) == queries_keys_values + scores_and_sums + out + 2 * (3 * 64 * 32)
    assert torch.backends.mha.get_fastpath_enabled() is fast


def test_agreement_is_the_part_of_equal_classes() -> None:
    other = torch.tensor([[0.0, 9.0], [9.0, 0.0], [9.0, 0.0], [9.0, 0.0]])  # 1, 0, 0, 0
    assert top1_agreement(LOGITS, other) == 0.75
    assert top1_agreement(LOGITS, LOGITS) == 1.0


def test_accuracy_is_the_part_of_right_classes() -> None:
    assert top1_accuracy(LOGITS, torch.tensor([1, 1, 1, 1])) == 0.5


def test_distance_is_counted_in_steps() -> None:
    a, b = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.5, 2.0, 2.0, 4.0])
    assert distance_in_steps(a, b, 0.25) == (4.0, 1.5)  # 2, 0, 4, 0 steps


def test_sqnr_is_20_db_for_a_tenth_of_noise() -> None:
    assert sqnr_db(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])) == pytest.approx(20.0)  # 25 over 0.25


def test_sqnr_without_noise_is_infinite_and_without_signal_very_low() -> None:
    assert sqnr_db(torch.ones(3), torch.ones(3)) == math.inf
    assert sqnr_db(torch.zeros(3), torch.ones(3)) < -1000
