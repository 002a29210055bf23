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
from attendc.opening import Opened
from attendc.types import Architecture, Preprocess, Spec

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from foreign import timm_model, without_torchvision
from nets import settle

__all__ = ["NETWORKS", "Network", "opened"]

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
    """

    name: str
    make: Callable[[], nn.Module]
    size: int
    source: str
    allow_float: bool = False


def opened(network: Network) -> Opened:
    """Return the network as a checkpoint would give it, its preprocessing that of ImageNet in range."""
    preprocess = Preprocess(network.size, network.size, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    spec = Spec(Architecture(f"benchmark:{network.name}", {}), preprocess, ())
    return Opened(network.make(), spec, Weights({}, None, "0" * 64))


def _member(preset: str, **changes: object) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(0)
        config = {**vars(PRESETS[preset]), "classes": CLASSES, **changes}
        return settle(attendnext_from_config(**config))

    return make


def _timm(name: str) -> Callable[[], nn.Module]:
    return lambda: timm_model(name, CLASSES)


def _mobileone_fused() -> nn.Module:
    """Return MobileOne-S1 with its branches joined, as it is deployed."""
    model = timm_model("mobileone_s1", CLASSES)
    with without_torchvision():
        from timm.utils.model import reparameterize_model
    return reparameterize_model(model).eval()


FAMILY = "arXiv 2208.06980"
NETWORKS = (
    Network("AttendNeXt", _member("attendnext"), 224, FAMILY),
    Network("AttendNeXt, sigmoid gate", _member("attendnext", gate="sigmoid"), 224, FAMILY),
    Network("attendnext_arm", _member("attendnext_arm"), 224, FAMILY),
    Network("attendnext_arm_s", _member("attendnext_arm_s"), 224, FAMILY),
    Network("FBNet-C", _timm("fbnetc_100"), 224, "arXiv 1812.03443"),
    Network("MobileNetV3-L", _timm("mobilenetv3_large_100"), 224, "arXiv 1905.02244"),
    Network("MobileOne-S1, fused", _mobileone_fused, 224, "arXiv 2206.04040"),
    Network("EfficientNet-B0", _timm("efficientnet_b0"), 224, "arXiv 1905.11946"),
    Network("MobileViT-XS", _timm("mobilevit_xs"), 256, "arXiv 2110.02178", allow_float=True),
)
