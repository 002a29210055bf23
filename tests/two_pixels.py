"""A network of two pixels whose numbers are found by hand (see test_evidence), its images, and its evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from attendc.context import Context
from attendc.data.images import Images, images_from_array
from attendc.evidence import gather_evidence
from attendc.types import Preprocess

__all__ = ["LABELS", "TWO_PIXELS", "evidence", "four_images", "logits", "two_pixels"]

TWO_PIXELS = Preprocess(1, 2, 1, (0.0,), (1.0,), "none")
LABELS = ("left", "right")


def two_pixels(*more: nn.Module) -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(1, 2, (1, 2), bias=False), *more, nn.Flatten(1))
    net[0].weight.data = torch.tensor([[[[1.0, 0.0]]], [[[0.5, -0.25]]]])
    return net.eval()


def four_images() -> Images:
    """Return each pair of black and white."""
    pixels = np.array([[[0, 0]], [[255, 0]], [[0, 255]], [[255, 255]]], np.uint8)
    return images_from_array(pixels, np.array([0, 1, 1, 0]))


def evidence(
    network: nn.Module,
    graph: fx.GraphModule | None,
    images: Images,
    preprocess: Preprocess = TWO_PIXELS,
    /,
    **outputs: Tensor,
) -> dict[str, Any]:
    return gather_evidence(
        network=network,
        graph=graph,
        outputs=outputs,
        images=images,
        preprocess=preprocess,
        labels=LABELS,
        context=Context(),
    )


def logits(*classes: int) -> Tensor:
    """Return outputs whose largest entries are these classes."""
    return torch.eye(3)[list(classes)]
