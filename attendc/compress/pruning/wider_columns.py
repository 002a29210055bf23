"""Write narrow columns as fewer, wider ones where a core computes them faster. The function stays, up to rounding.

The int8 kernels compute a tile of outputs of one column at once (`cost.TILE`): four columns of 4 channels take four
tiles that are a quarter full, and one convolution of 16 channels, with zeros where the columns were apart, takes one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from attendc.arm.cost.cost import instructions
from attendc.compress.passes.convolutions import dense
from attendc.compress.pruning.operators import Operator, written
from attendc.errors import UsageError
from attendc.models.surgery import layer_shape, operate
from attendc.types import Surgery

__all__ = ["cheapest_columns", "surgery_of_columns", "with_columns"]


def cheapest_columns(operators: Iterable[Operator], core: str) -> dict[str, int]:
    """Return in how many columns each layer costs least on a core, of those that cost less in fewer than they have."""
    found = {}
    for operator in operators:
        op = operator.op
        if not operator.layer or op.kind != "CONV_2D" or op.groups == 1:
            continue
        counts = [n for n in range(op.groups, 0, -1) if op.groups % n == 0]
        best = min(counts, key=lambda n: instructions(written(replace(op, groups=n)), core))
        if best < op.groups:
            found[operator.layer] = best
    return found


def with_columns(model: nn.Module, columns: Mapping[str, int]) -> nn.Module:
    """Return a copy whose layers have these numbers of columns; it is the same function.

    Raises:
        UsageError: if a name is of no convolution, or its columns cannot be joined to so many.
    """
    if not columns:
        return model
    wider = copy.deepcopy(model).cpu().eval()
    convolutions = {name: layer for name, layer in wider.named_modules() if isinstance(layer, nn.Conv2d)}
    for name, left in columns.items():
        if name not in convolutions:
            raise UsageError(f"the plan joins columns of {name}, which is no convolution of this network")
        layer = convolutions[name]
        outputs, inputs, groups = layer_shape(layer)
        if left < 1 or groups % left:
            raise UsageError(f"the plan joins the columns of {name} to {left}, but it has {groups}")
        weight, bias = layer.weight.detach(), layer.bias
        operate(wider, Surgery(layers={name: (outputs, inputs, left)}))
        with torch.no_grad():
            layer.weight.copy_(_joined(weight, groups, left))
            if bias is not None and layer.bias is not None:
                layer.bias.copy_(bias)
    return wider


def surgery_of_columns(model: nn.Module, columns: Iterable[str]) -> Surgery:
    """Return what the Spec must keep of a network that has other columns now."""
    return Surgery(layers={name: layer_shape(model.get_submodule(name)) for name in columns})


def _joined(weight: Tensor, groups: int, left: int) -> Tensor:
    """Return the weight (O, I / left, H, W) of one in `groups` columns, (O, I / groups, H, W)."""
    return torch.cat([dense(part, groups // left) for part in weight.chunk(left)])
