"""Networks from elsewhere (timm), as factories for `--model foreign:resnet18`; their weights are drawn by a seed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from nets import settle
from torch import nn

TORCHVISION = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.models.feature_extraction",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)
"""What timm imports of it; its networks then use none of that."""


class Named(type):
    """A class whose attributes are classes of this kind again, whatever their names."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Named(name, (), {})


class Anything(ModuleType):
    """A module that holds a class of every name."""

    __path__: list[str] = []  # noqa: RUF012 - as packages have it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Named(name, (), {})


@contextlib.contextmanager
def without_torchvision() -> Iterator[None]:
    """Let `import torchvision` find stand-ins, and afterwards what was there before, or nothing.

    timm cannot be imported without it, and the registries' torchvision is built for CUDA: beside a CPU torch it
    does not import.
    """
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "torchvision"}
    stand_ins = {name: Anything(name) for name in TORCHVISION}
    for name, module in stand_ins.items():
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(stand_ins[parent], last, module)
    for name in before:
        del sys.modules[name]
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules.update(before)


def timm_network(name: str, classes: int, in_channels: int = 3) -> nn.Module:
    """Return a network of timm's with fresh weights, in training mode."""
    with without_torchvision():
        import timm
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, in_chans=in_channels)
    return model


def timm_model(name: str, classes: int, in_channels: int = 3) -> nn.Module:
    """Return a network of timm's in eval mode: seeded weights, batch norms as after training.

    Fresh, the last batch norm of each residual block has factors of zero, and the block does nothing.
    """
    torch.manual_seed(0)
    return settle(timm_network(name, classes, in_channels))


def joined(model: nn.Module) -> nn.Module:
    """Return a network in eval mode with its branches joined, if it is one of timm's that has some."""
    with without_torchvision():
        from timm.utils.model import reparameterize_model
    whole: nn.Module = reparameterize_model(model).eval()
    return whole


def resnet18(classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Residual blocks, a stem with a max pool; arXiv 1512.03385."""
    return timm_model("resnet18", classes, in_channels)


def mobilenetv3_small(classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Depthwise convolutions, squeeze-and-excitation, hardswish; half as wide as in arXiv 1905.02244."""
    return timm_model("mobilenetv3_small_050", classes, in_channels)
