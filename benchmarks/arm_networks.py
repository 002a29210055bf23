"""The networks that are compared on ARM: members of the family, and others of timm with random weights.

Instructions do not depend on the weights. Nothing is trained here, so nothing is said about accuracy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from attendc.checkpoint import Weights
from attendc.models.attendnext import PRESETS, attendnext_from_config
from attendc.models.registry import input_of
from attendc.opening import Opened
from attendc.types import Architecture, Preprocess, Spec

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from foreign import joined, timm_model
from nets import settle

__all__ = ["NETWORKS", "PEERS", "Network", "member", "of_timm", "opened"]

CLASSES = 1000


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes:
        name: as people say it.
        make: builds it in eval mode, with random weights.
        size: height and width of its image.
        source: paper.
        allow_float: whether some of its operators have no int8 form in attendc.
        channels: of its image.
    """

    name: str
    make: Callable[[], nn.Module]
    size: int
    source: str
    allow_float: bool = False
    channels: int = 3


FAMILY = "arXiv 2208.06980"


def opened(network: Network) -> Opened:
    """Return the network as a checkpoint would give it, its preprocessing that of ImageNet in range."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocess = Preprocess(
        network.size, network.size, network.channels, mean[: network.channels], std[: network.channels]
    )
    spec = Spec(Architecture(f"benchmark:{network.name}", {}), preprocess, ())
    return Opened(network.make(), spec, Weights({}, None, "0" * 64))


def member(preset: str, name: str = "", *, size: int | None = None, **changes: object) -> Network:
    """Return a preset, or what becomes of it by some changes, at its own resolution unless `size` is given."""
    channels, height, _ = input_of(preset)

    def make() -> nn.Module:
        torch.manual_seed(0)
        return settle(attendnext_from_config(**{**vars(PRESETS[preset]), **changes}))

    return Network(name or preset, make, size or height, FAMILY, channels=channels)


def of_timm(name: str, model: str, source: str, *, size: int = 224, allow_float: bool = False) -> Network:
    """Return a network of timm's, its branches joined if it has some, as it is deployed."""
    return Network(name, lambda: joined(timm_model(model, CLASSES)), size, source, allow_float)


PEERS = {
    "FBNet-C": ("fbnetc_100", "arXiv 1812.03443"),
    "MobileNetV3-L": ("mobilenetv3_large_100", "arXiv 1905.02244"),
    "MobileOne-S1": ("mobileone_s1", "arXiv 2206.04040"),
    "MobileViT-XS": ("mobilevit_xs", "arXiv 2110.02178"),
}
"""The networks that the family's paper compares itself with -> their name in timm, and their paper."""

NETWORKS = (
    member("attendnext", "AttendNeXt"),
    member("attendnext", "AttendNeXt, sigmoid gate", gate="sigmoid"),
    member("attendnext_arm"),
    member("attendnext_arm_s"),
    of_timm("FBNet-C", *PEERS["FBNet-C"]),
    of_timm("MobileNetV3-L", *PEERS["MobileNetV3-L"]),
    of_timm("MobileOne-S1, fused", *PEERS["MobileOne-S1"]),
    of_timm("EfficientNet-B0", "efficientnet_b0", "arXiv 1905.11946"),
    of_timm("MobileViT-XS", *PEERS["MobileViT-XS"], size=256, allow_float=True),
)
