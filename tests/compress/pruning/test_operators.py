"""The operators that a network is foreseen to become are those of its int8 TFLite file, before and after pruning."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nets import ARCHITECTURE, PREPROCESS, SPEC, mixed, tiny
from torch import nn

from attendc.arm.ops import Op, ops_of_tflite
from attendc.checkpoint import save_checkpoint
from attendc.compress.pruning.apply import apply_prune_plan
from attendc.compress.pruning.dependencies import Dependencies, find_dependencies
from attendc.compress.pruning.operators import Operator, find_operators, written
from attendc.compress.pruning.plan import PrunePlan
from attendc.compress.pruning.shapes import Shapes, measure_shapes, shrunk
from attendc.context import Context
from attendc.jobs.quantize import QuantizeRequest, quantize_checkpoint
from attendc.opening import CheckpointRequest
from attendc.types import Preprocess, Surgery

IMAGE = torch.zeros(1, 1, 16, 16)
PLAN = PrunePlan(
    {"stages.1.0.attention.1.0": (0, 4), "stages.2.1.stack.0.0": (1, 2, 5, 6)},
    ("stages.1.1",),
    {"stages.1.0.attention.1.0": 8, "stages.2.1.stack.0.0": 8},
)
"""Of the tiny net: one of four channels in each of two columns, half the channels of a bottleneck, and no block 1.1."""


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return tiny().eval()


@pytest.fixture(scope="module")
def found(net: nn.Module) -> Dependencies:
    return find_dependencies(net, IMAGE)


@pytest.fixture(scope="module")
def shapes(net: nn.Module, found: Dependencies) -> Shapes:
    return measure_shapes(net, found.groups, IMAGE)


@pytest.fixture(scope="module")
def operators(net: nn.Module, found: Dependencies, shapes: Shapes) -> tuple[Operator, ...]:
    return find_operators(net, PREPROCESS, shapes, found.blocks)


def now(operators: tuple[Operator, ...], shapes: Shapes) -> list[Op]:
    return [op for operator in operators if (op := operator.of(shapes)) is not None]


def in_file(folder: Path, net: nn.Module, surgery: Surgery) -> list[Op]:
    """Return the operators of the int8 file of a network of the tiny architecture."""
    spec = replace(SPEC, architecture=replace(ARCHITECTURE, surgery=surgery))
    save_checkpoint(folder / "net.safetensors", net, spec)
    source = CheckpointRequest(folder / "net.safetensors")
    request = QuantizeRequest(
        source, folder / "q", calib=8, images=1, formats=("tflite",), dtypes=("int8",), gate=False, cached=False
    )
    quantize_checkpoint(request, Context())
    return ops_of_tflite(folder / "q" / "model.int8.tflite")


def nameless(ops: list[Op]) -> list[Op]:
    return [replace(op, name="", index=()) for op in ops]


@pytest.mark.slow
def test_they_are_those_of_the_file_of_the_pruned_network(
    net: nn.Module, found: Dependencies, shapes: Shapes, operators: tuple[Operator, ...], tmp_path: Path
) -> None:
    pruned, surgery = apply_prune_plan(net, PLAN, found, IMAGE)
    counts = {name: len(kept) for name, kept in PLAN.kept.items()}
    foreseen = now(operators, shrunk(shapes, found.groups, counts, PLAN.removed))
    assert nameless(foreseen) == nameless(in_file(tmp_path, pruned, surgery))


def test_a_network_that_was_not_pruned_is_as_it_was_looked_at(operators: tuple[Operator, ...], shapes: Shapes) -> None:
    assert now(operators, shapes) == [written(operator.op) for operator in operators]
    kinds = Counter(operator.op.kind for operator in operators)
    # Three residual sums; a gate a stage; two pools in front of stages 2 (read twice), 3 and 4 each, and the last one
    assert (kinds["ADD"], kinds["LOGISTIC"], kinds["MUL"]) == (2, 4, 4)


@pytest.mark.parametrize(("channels", "left"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (16, 4)])
def test_columns_that_fit_into_8_outputs_are_joined_in_the_file(channels: int, left: int) -> None:
    # Of four columns: all of 2 (8 outputs), pairs of 3 and 4 (6 and 8), none of 5 (10)
    op = Op("CONV_2D", "int8", 4 * channels, 4 * channels, 4, (3, 3))
    assert written(op).groups == left


@pytest.mark.parametrize(("side", "kind"), [(5, "DEPTHWISE_CONV_2D"), (6, "MEAN")])
def test_the_mean_of_an_image_of_more_than_25_pixels_is_a_mean_in_the_file(side: int, kind: str) -> None:
    pool = Op("DEPTHWISE_CONV_2D", "int8", 8, 8, 8, (side, side), (side, side))
    op = Operator(pool).of({})
    assert op is not None
    assert (op.kind, op.kernel, op.outputs) == (kind, (side, side), 8)


def test_a_block_takes_its_operators_along(
    operators: tuple[Operator, ...], shapes: Shapes, found: Dependencies
) -> None:
    left = now(operators, shrunk(shapes, found.groups, {}, ["stages.1.1"]))
    gone = Counter(o.op.kind for o in operators) - Counter(op.kind for op in left)
    assert gone == {"CONV_2D": 2, "ADD": 1, "SILU": 2}  # the pool behind it now reads what the block read


def test_what_follows_a_layer_has_its_channels(
    operators: tuple[Operator, ...], shapes: Shapes, found: Dependencies
) -> None:
    counts = {"stages.1.0.features.1.0": 4}  # of 8, the residual stream of stage 2
    ops = now(operators, shrunk(shapes, found.groups, counts))
    changed = [(a.op.kind, b.outputs) for a, b in zip(operators, ops, strict=True) if a.op.outputs != b.outputs]
    stage_2 = ["CONV_2D", "LOGISTIC", "CONV_2D", "MUL", "SILU", "CONV_2D", "ADD", "SILU"]
    assert changed == [(kind, 4) for kind in [*stage_2, "DEPTHWISE_CONV_2D"]]


def test_a_column_of_one_channel_is_a_depthwise_convolution(
    operators: tuple[Operator, ...], shapes: Shapes, found: Dependencies
) -> None:
    ops = now(operators, shrunk(shapes, found.groups, {"stages.1.0.attention.1.0": 2}))
    reader = next(i for i, operator in enumerate(operators) if operator.layer == "stages.1.0.attention.2.0")
    assert operators[reader].op.kind == "CONV_2D"
    assert (ops[reader].kind, ops[reader].inputs, ops[reader].groups) == ("DEPTHWISE_CONV_2D", 2, 2)


def test_of_two_unlike_inputs_the_smaller_is_spread() -> None:
    """A squeeze-and-excite gate has one number a channel."""

    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.gate, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
            return self.head(x.mean((2, 3)))

    net = Squeezed().eval()
    shapes = measure_shapes(net, (), torch.zeros(1, 1, 8, 8))
    preprocess = Preprocess(8, 8, 1, (0.5,), (0.5,), "resize")
    product = next(o for o in find_operators(net, preprocess, shapes, ()) if o.op.kind == "MUL")
    assert (product.op.broadcast, product.op.outputs, product.op.height, product.op.width) == ("channel", 4, 6, 6)


def test_a_network_of_any_kind_is_read() -> None:
    net = mixed().eval()
    image = torch.zeros(1, 1, 8, 8)
    found = find_dependencies(net, image)
    shapes = measure_shapes(net, found.groups, image)
    operators = find_operators(net, Preprocess(8, 8, 1, (0.286,), (0.353,), "resize"), shapes, found.blocks)
    layers = [name for name, shape in shapes.items() if shape.kind in ("conv", "linear")]
    assert sorted(o.layer for o in operators if o.layer) == sorted(layers)
