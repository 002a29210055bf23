"""Zero-cost proxies: what an untrained network and one batch tell about how well it will train.

Each is a number of a freshly initialised network; larger promises more. Whether it keeps that promise is measured in
every exploration: see `attendc.explore.correlation`. All work on a copy, so that the network stays as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PROXIES", "Proxy", "grad_norm", "naswot", "scores", "snip", "synflow"]

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish)
"""Functions that let the positive through and hold the negative back."""

_RIDGE = 1e-6
"""Added to the diagonal in `naswot`: two images with the same code give a very low score, not minus infinity."""


def naswot(model: nn.Module, x: Tensor, targets: Tensor) -> float:
    """Return log |det K|, where K[i, j] counts the activations whose sign is the same for the images i and j.

    A network whose activations tell the images apart before any training has a K near its diagonal. Batch norms use
    the statistics of the batch, as in training. The sign is that of an activation's input, which for ReLU is whether
    it passes; SiLU and Hardswish are taken alike. `targets` are not looked at.

    Source: 2006.04647.
    """
    network = copy.deepcopy(model).train()
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64)

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        code = (inputs[0].flatten(1) > 0).float()
        kernel.add_(code @ code.T + (1 - code) @ (1 - code).T)

    for module in network.modules():
        if isinstance(module, _ACTIVATIONS):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(x)
    return float(torch.linalg.slogdet(kernel + _RIDGE * torch.eye(len(x), dtype=torch.float64)).logabsdet)


def synflow(model: nn.Module, x: Tensor, targets: Tensor) -> float:
    """Return the sum of w * dR/dw over all parameters, where R is the sum of the outputs of the linearised network.

    Linearised: every weight by its absolute value, activations left out, an image of ones, in float64. Batch norms
    use their own statistics, which in a fresh network are 0 and 1; gates work as they are. Of `x` only the shape
    counts, `targets` are not looked at: the score needs no data.

    Source: 2006.05467 (the flow), 2101.08134 (its sum as a score of the network).
    """
    network = _without_activations(copy.deepcopy(model)).eval().double()
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            value.abs_()
    network.zero_grad()
    network(torch.ones(1, *x.shape[1:], dtype=torch.float64)).sum().backward()
    return sum(float((w.detach() * w.grad).sum()) for w in network.parameters() if w.grad is not None)


def _without_activations(model: nn.Module) -> nn.Module:
    """Put an identity in place of every activation inside the model."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, _ACTIVATIONS):
                setattr(module, name, nn.Identity())
    return model


def grad_norm(model: nn.Module, x: Tensor, targets: Tensor) -> float:
    """Return the sum, over convolutions and linear layers, of the Euclidean norm of the gradient of their weights.

    Source: 2101.08134. The loss, cross-entropy, is that of one batch.
    """
    return sum(float(grad.norm()) for _, grad in _gradients(model, x, targets))


def snip(model: nn.Module, x: Tensor, targets: Tensor) -> float:
    """Return the sum of |w * dL/dw| over the weights of convolutions and linear layers.

    The larger it is, the more the loss depends on the weights.

    Source: 1810.02340 (of one weight), 2101.08134 (its sum as a score of the network).
    """
    return sum(float((weight * grad).abs().sum()) for weight, grad in _gradients(model, x, targets))


def _gradients(model: nn.Module, x: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return (weight, gradient of the loss) of each convolution and linear layer, batch norms as in training."""
    network = copy.deepcopy(model).train()
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    loss = F.cross_entropy(network(x), targets)
    return list(zip((w.detach() for w in weights), torch.autograd.grad(loss, weights), strict=True))


@dataclass(frozen=True)
class Proxy:
    """Attributes:
    name: as trials and pages call it.
    source: the paper.
    score: of a network, a batch (N, C, H, W) and its labels (N,); larger promises more.
    """

    name: str
    source: str
    score: Callable[[nn.Module, Tensor, Tensor], float]


PROXIES: Mapping[str, Proxy] = MappingProxyType(
    {
        proxy.name: proxy
        for proxy in (
            Proxy("naswot", "arXiv 2006.04647", naswot),
            Proxy("synflow", "arXiv 2006.05467, 2101.08134", synflow),
            Proxy("grad_norm", "arXiv 2101.08134", grad_norm),
            Proxy("snip", "arXiv 1810.02340, 2101.08134", snip),
        )
    }
)


def scores(model: nn.Module, x: Tensor, targets: Tensor) -> dict[str, float]:
    """Return the score of every proxy by its name; the network stays as it was.

    Args:
        model: freshly initialised.
        x: one batch of images (N, C, H, W), float32.
        targets: their labels (N,), int64.
    """
    return {name: proxy.score(model, x, targets) for name, proxy in PROXIES.items()}
