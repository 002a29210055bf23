"""Give the layers of a network other shapes and take blocks out of it, as a pruned checkpoint asks for.

The network is built by its own factory and changed in place after that, so a pruned checkpoint needs no code of its
own: numbers in its Spec are enough.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from attendc.errors import CheckpointError
from attendc.types import Surgery

__all__ = ["RESHAPABLE", "is_depthwise", "layer_shape", "merged", "operate", "outermost", "remove_block"]

Norm = nn.modules.batchnorm._BatchNorm
RESHAPABLE = (nn.Conv2d, nn.Linear, Norm, nn.LayerNorm, nn.GroupNorm, nn.PReLU)
"""Layers that can be given other channel counts."""


def is_depthwise(layer: nn.Module) -> bool:
    """Return whether each output channel of a convolution sees one input channel, its own."""
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels > 1


def layer_shape(layer: nn.Module) -> tuple[int, int, int]:
    """Return (outputs, inputs, groups) of a layer that is `RESHAPABLE`."""
    match layer:
        case nn.Conv2d():
            return layer.out_channels, layer.in_channels, layer.groups
        case nn.Linear():
            return layer.out_features, layer.in_features, 1
        case Norm():
            return layer.num_features, layer.num_features, 1
        case nn.LayerNorm():
            return layer.normalized_shape[-1], layer.normalized_shape[-1], 1
        case nn.GroupNorm():
            return layer.num_channels, layer.num_channels, layer.num_groups
        case nn.PReLU():
            return layer.num_parameters, layer.num_parameters, 1
    raise TypeError(f"{type(layer).__name__} has no channels that could be changed")


def operate(model: nn.Module, surgery: Surgery) -> None:
    """Do it in place. Changed layers keep their class and settings; their weights are zeros afterwards.

    Raises:
        CheckpointError: naming the layer or block that the network does not have, or that cannot have that shape.
    """
    for name in surgery.removed:
        _submodule(model, name)
        remove_block(model, name)
    for name, shape in surgery.layers.items():
        layer = _submodule(model, name)
        if not isinstance(layer, RESHAPABLE) or not _possible(shape, layer_shape(layer)):
            raise CheckpointError(
                f"the Spec gives {name} the shape {shape}, but it is a {type(layer).__name__}",
                hint="The checkpoint is damaged, or belongs to another --model",
            )
        _reshape(layer, *shape)


def merged(first: Surgery, second: Surgery) -> Surgery:
    """Return the operation that does both, `second` after `first`."""
    removed = outermost((*first.removed, *second.removed))
    layers = {**first.layers, **second.layers}
    left = {n: s for n, s in layers.items() if not any(n.startswith(f"{block}.") for block in removed)}
    return Surgery(removed, left)


def outermost(blocks: Iterable[str]) -> tuple[str, ...]:
    """Return each block once, without those inside others."""
    names = tuple(dict.fromkeys(blocks))
    return tuple(n for n in names if not any(n.startswith(f"{other}.") for other in names))


def remove_block(model: nn.Module, name: str) -> None:
    """Put an identity where a block was, so that the names of all others stay."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())


def _possible(shape: tuple[int, int, int], before: tuple[int, int, int]) -> bool:
    """Return whether a layer can have that shape; none becomes larger than its factory built it."""
    outputs, inputs, groups = shape
    fits = all(0 < new <= old for new, old in zip(shape, before, strict=True))
    return fits and outputs % groups == 0 and inputs % groups == 0


def _submodule(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name or "(none)")  # "" would be the network itself
    except AttributeError as e:
        raise CheckpointError(
            f"the Spec prunes {name or repr(name)}, which the network does not have",
            hint="The checkpoint is damaged, or belongs to another --model",
        ) from e


def _reshape(layer: nn.Module, outputs: int, inputs: int, groups: int) -> None:
    match layer:
        case nn.Conv2d():
            layer.out_channels, layer.in_channels, layer.groups = outputs, inputs, groups
            _resize(layer, "weight", outputs, inputs // groups, *layer.weight.shape[2:])
            _resize(layer, "bias", outputs)
        case nn.Linear():
            layer.out_features, layer.in_features = outputs, inputs
            _resize(layer, "weight", outputs, inputs)
            _resize(layer, "bias", outputs)
        case Norm():
            layer.num_features = outputs
            for name in ("weight", "bias", "running_mean", "running_var"):
                _resize(layer, name, outputs)
        case nn.LayerNorm() | nn.GroupNorm():
            if isinstance(layer, nn.LayerNorm):
                layer.normalized_shape = (outputs,)
            else:
                layer.num_channels, layer.num_groups = outputs, groups
            _resize(layer, "weight", outputs)
            _resize(layer, "bias", outputs)
        case nn.PReLU():
            layer.num_parameters = outputs
            _resize(layer, "weight", outputs)


def _resize(layer: nn.Module, name: str, *shape: int) -> None:
    """Replace a parameter or buffer by zeros of another shape, if the layer has it."""
    old = getattr(layer, name, None)
    if old is None:
        return
    new = torch.zeros(shape, dtype=old.dtype, device=old.device)
    setattr(layer, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
