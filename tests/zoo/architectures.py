"""Networks that no one here wrote: timm's and torch.nn's, small, with heads fitted to real images.

Their weights are drawn by a seed; batch norms have the statistics of real images, and the last linear layer is fitted
by least squares on a few hundred. So every network really tells the classes apart, without any training, and whether
two runtimes name the same class means something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from foreign import without_torchvision
from torch import Tensor, nn

from attendc.data.images import Images
from attendc.data.preprocess import batches
from attendc.types import Preprocess

__all__ = ["PREPROCESS", "ZOO", "fitted"]

PREPROCESS = Preprocess(32, 32, 3, (0.286,), (0.353,), "pad")
CLASSES = 10
_RIDGE = 1e-2


def _timm(name: str, **changed: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        with without_torchvision():
            import timm
        torch.manual_seed(0)
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=CLASSES, **changed)
        return network

    return build


class Transformer(nn.Module):
    """Patches of an image through torch.nn.TransformerEncoder: (N, 3, 32, 32) -> (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 48, 8, 8)
        layer = nn.TransformerEncoderLayer(48, 4, 96, batch_first=True, activation="gelu", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        y: Tensor = self.head(self.encoder(tokens).mean(1))
        return y


def _transformer() -> nn.Module:
    torch.manual_seed(0)
    return Transformer()


ZOO: dict[str, Callable[[], nn.Module]] = {
    "resnet10t": _timm("resnet10t"),
    "mobilenetv3_small": _timm("mobilenetv3_small_050"),
    "efficientnet_lite0": _timm("efficientnet_lite0"),
    "fbnetc": _timm("fbnetc_100"),
    "mobileone_s0": _timm("mobileone_s0"),
    "repvgg_a0": _timm("repvgg_a0"),
    "convnext_atto": _timm("convnext_atto", depths=(1, 1, 2, 1)),
    "vit_tiny": _timm("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2),
    "swin_tiny": _timm(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=24, depths=(2, 2), num_heads=(2, 4)
    ),
    "mobilevit_xxs": _timm("mobilevit_xxs"),
    "ghostnet": _timm("ghostnet_050"),
    "mixer": _timm("mixer_s32_224", img_size=32, patch_size=8, num_blocks=2, embed_dim=64),
    "poolformer": _timm("poolformer_s12", layers=(1, 1, 1, 1)),
    "darknet": _timm("cspdarknet53"),
    "res2net": _timm("res2net50_14w_8s"),
    "densenet": _timm("densenet121"),
    "transformer": _transformer,
}


def last_linear(network: nn.Module) -> nn.Linear:
    """Return the classifier: the last linear layer with as many outputs as there are classes."""
    return [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == CLASSES][-1]


@torch.no_grad()
def fitted(network: nn.Module, images: Images) -> nn.Module:
    """Give batch norms the statistics of the images and fit the classifier to their classes, by ridge regression."""
    x = torch.cat([x for x, _ in batches(images, PREPROCESS, batch_size=100)])
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the mean over what it sees
            nn.init.uniform_(module.weight, 0.5, 1.5)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for part in x.split(100):
        network(part)
    network.eval()
    head = last_linear(network)
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(1)))
    for part in x.split(100):
        network(part)
    hook.remove()
    features = torch.cat(seen).double()
    wanted = nn.functional.one_hot(torch.from_numpy(images.targets), CLASSES).double() - 1 / CLASSES
    mean = features.mean(0)
    centred = features - mean
    gram = centred.T @ centred
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    weight = torch.linalg.solve(gram, centred.T @ wanted).T * 10
    head.weight.copy_(weight)
    head.bias.copy_(-(weight @ mean))
    return network
