"""Networks of 1x8x8 that reorder dimensions: attention, windows, shuffles, transposed convolutions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from nets import settle
from torch import Tensor, nn

__all__ = ["LAYOUTS", "layout_net"]


class Tokens(nn.Module):
    """The pixels of (N, 4, H, W) as tokens (N, H * W, 4) for a module, and back."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x.flatten(2).transpose(1, 2))
        return y.transpose(1, 2).unflatten(2, tuple(x.shape[2:]))


class SelfAttention(nn.Module):
    """torch's own, with a mask that lets each token see itself and those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)
        y: Tensor = self.attention(x, x, x, need_weights=False, attn_mask=mask)[0]
        return x + y


class ClassToken(nn.Module):
    """A learned token and learned positions, as ViT has them (arXiv 2010.11929); the token is given to all others."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.positions = nn.Parameter(torch.randn(1, 17, 4))
        self.mix = nn.Linear(17, 17)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        y = self.mix(y.mT).mT
        return y[:, 1:] + y[:, :1]


class Windows(nn.Module):
    """Attention within shifted windows of 4x4 with biases by position, as Swin has it (arXiv 2103.14030)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 4)
        self.bias = nn.Parameter(torch.randn(2, 16, 16))
        halves = torch.arange(16) % 4 < 2
        mask = torch.where(halves[:, None] == halves[None], 0.0, -100.0)
        self.register_buffer("mask", torch.stack([torch.zeros(16, 16), mask, torch.zeros(16, 16), mask]))

    def forward(self, x: Tensor) -> Tensor:
        mask = self.get_buffer("mask")
        moved = x.permute(0, 2, 3, 1).roll((-2, -2), (1, 2))
        windows = moved.reshape(-1, 2, 4, 2, 4, 4).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 4)
        q, k, v = self.qkv(windows).reshape(-1, 16, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) + self.bias
        scores = (scores.reshape(-1, 4, 2, 16, 16) + mask[None, :, None]).reshape(-1, 2, 16, 16)
        y = self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 16, 4))
        y = y.reshape(-1, 2, 2, 4, 4, 4).permute(0, 1, 3, 2, 4, 5).reshape(-1, 8, 8, 4)
        return x + y.roll((2, 2), (1, 2)).permute(0, 3, 1, 2)


class Shuffle(nn.Module):
    """Half of the channels goes through, the other is convolved, and they are mixed (arXiv 1807.11164)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(2, 2, 3, padding="same", groups=2), nn.ReLU(), nn.Conv2d(2, 2, 1))
        self.mix = nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        y: Tensor = self.mix(torch.cat([left, self.branch(right)], 1))
        return y


LAYOUTS: dict[str, Callable[[], nn.Module]] = {
    "self_attention": lambda: Tokens(SelfAttention()),
    "transformer_block": lambda: Tokens(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, activation="gelu")),
    "class_token": lambda: nn.Sequential(nn.MaxPool2d(2), Tokens(ClassToken())),
    "windows": Windows,
    "channel_shuffle": Shuffle,
    "pixel_shuffles": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(16, 16, 1), nn.PixelShuffle(2)),
    "transposed": lambda: nn.Sequential(
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 3, padding=1),
    ),
    "sequence": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(4, 4, 5, stride=2, padding=2), nn.Unflatten(2, (4, 8))),
    "pads": lambda: nn.Sequential(
        nn.ReflectionPad2d((1, 2, 0, 1)),
        nn.ReplicationPad2d(2),
        nn.CircularPad2d((1, 0, 0, 2)),
        nn.ConstantPad2d(1, 0.5),
    ),
}
"""What stands between a convolution to 4 channels and a global pool with a linear head; all of it runs in int8."""


def layout_net(name: str) -> nn.Sequential:
    """Return a network around one of `LAYOUTS`, its batch norms as after training."""
    torch.manual_seed(0)
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, 10)]
    return settle(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), LAYOUTS[name](), *ends))
