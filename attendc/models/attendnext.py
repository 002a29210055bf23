"""AttendNeXt: one config, one network, and the presets of the family.

Source: arXiv 2208.06980 (family), 2311.11656 (layout of the one published member). The depths of `attendnext`
are our reconstruction: the abstract's size claim (1.37x smaller than MobileNetV3-L) allows at most 3.94 M.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from attendc.models.layers import ACTIVATIONS, DCAC, GATES, BasicBlock, BottleneckBlock, ConvBN, PatchBN

__all__ = [
    "BOTTLENECK",
    "CHOICES",
    "PRESETS",
    "AttendNeXt",
    "AttendNeXtConfig",
    "attendnext_from_config",
    "check_choice",
]


@dataclass(frozen=True)
class AttendNeXtConfig:
    """One member of the family.

    Attributes:
        widths: channels of the four stages; stages 3 and 4 put out `expansion` times as many.
        depths: blocks of the four stages, the DC-AC that opens each stage included.
        columns: groups of every 3x3 convolution after the first.
        stem: `conv` (a 3x3 convolution, then one in columns) or `patch` (one convolution whose kernel is its stride).
        stem_width: channels of the stem.
        stem_stride: stride of the stem's first convolution.
        stem_pool: whether the 3x3/2 average pool closes the stem `conv`.
        stage_strides: how much each stage's DC-AC condenses the resolution.
        gate: `softmax` (faithful), `sigmoid` or `hardsigmoid`.
        activation: `silu`, `relu`, `relu6` or `hardswish`.
        expansion: of the bottleneck stages.
        classes: outputs.
        in_channels: channels of the image.
        downsample: `pool` (anti-aliased) or `strided` (the first 3x3 of an attention branch and the 1x1 beside it skip
            pixels), which the family's practices forbid.
        attention: `entry` (a DC-AC opens each stage), `every` (all blocks of a stage are DC-ACs) or `none` (the first
            block adds its branches where a DC-AC gates one by the other).
        mix: `border` (columns mix only between stages) or `block` (the 3x3 convolutions of early stages after a
            stage's first are dense).
    """

    widths: tuple[int, int, int, int] = (40, 84, 176, 372)
    depths: tuple[int, int, int, int] = (3, 4, 6, 2)
    columns: int = 4
    stem: str = "conv"
    stem_width: int = 32
    stem_stride: int = 2
    stem_pool: bool = True
    stage_strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    gate: str = "softmax"
    activation: str = "silu"
    expansion: int = 2
    classes: int = 1000
    in_channels: int = 3
    downsample: str = "pool"
    attention: str = "entry"
    mix: str = "border"


CHOICES: dict[str, tuple[str, ...]] = {
    "stem": ("conv", "patch"),
    "gate": tuple(GATES),
    "activation": tuple(ACTIVATIONS),
    "downsample": ("pool", "strided"),
    "attention": ("entry", "every", "none"),
    "mix": ("border", "block"),
}
"""What a field that is a name may be, the plain choice first."""
BOTTLENECK = (False, False, True, True)
"""Which stages have bottlenecks: those where pixels are few and channels many."""


class AttendNeXt(nn.Module):
    """The network: stem, four stages, global average pool, linear. (N, in_channels, H, W) -> (N, classes)."""

    def __init__(self, config: AttendNeXtConfig) -> None:
        """Build it with He-initialised convolutions."""
        super().__init__()
        for name in CHOICES:
            check_choice(name, getattr(config, name))
        self.config = config
        self.stem = _stem(config)
        stages: list[nn.Module] = []
        channels = config.stem_width
        for index in range(len(config.depths)):
            stage, channels = _stage(config, index, channels)
            stages.append(stage)
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = nn.Linear(channels, config.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.flatten(self.pool(self.stages(self.stem(x)))))
        return logits


def check_choice(name: str, value: str) -> None:
    """Raise a ValueError if a field may not be called so."""
    *others, last = CHOICES[name]
    if value not in (*others, last):
        raise ValueError(f"{name} is {value!r}, but there are {', '.join(others)} and {last}")


def _stem(config: AttendNeXtConfig) -> nn.Sequential:
    """Return the stem; `patch` reads each pixel once, and its file needs no more than a reshape for wide rows."""
    width, act = config.stem_width, config.activation
    if config.stem == "patch":
        return nn.Sequential(PatchBN(config.in_channels, width, config.stem_stride, activation=act))
    parts: list[nn.Module] = [
        ConvBN(config.in_channels, width, 3, stride=config.stem_stride, activation=act),
        ConvBN(width, width, 3, columns=config.columns, activation=act),
    ]
    if config.stem_pool:
        parts.append(nn.AvgPool2d(3, 2, 1))
    return nn.Sequential(*parts)


def _stage(config: AttendNeXtConfig, index: int, channels: int) -> tuple[nn.Sequential, int]:
    """Return the stage and its output channels."""
    outputs = config.widths[index] * (config.expansion if BOTTLENECK[index] else 1)
    blocks: list[nn.Module] = [_condenser(config, index, channels, config.stage_strides[index])]
    for _ in range(config.depths[index] - 1):
        again = config.attention == "every"
        blocks.append(_condenser(config, index, outputs, 1) if again else _residual(config, index))
    return nn.Sequential(*blocks), outputs


def _condenser(config: AttendNeXtConfig, index: int, channels: int, stride: int) -> nn.Module:
    return DCAC(
        channels,
        config.widths[index],
        stride=stride,
        columns=config.columns,
        bottleneck=BOTTLENECK[index],
        gate=config.gate,
        activation=config.activation,
        expansion=config.expansion,
        strided=config.downsample == "strided",
        gated=config.attention != "none",
        mixed=config.mix == "block",
    )


def _residual(config: AttendNeXtConfig, index: int) -> nn.Module:
    width, columns, act = config.widths[index], config.columns, config.activation
    if BOTTLENECK[index]:
        return BottleneckBlock(width, columns=columns, activation=act, expansion=config.expansion)
    return BasicBlock(width, columns=1 if config.mix == "block" else columns, activation=act)


PRESETS: dict[str, AttendNeXtConfig] = {
    "attendnext_xa": AttendNeXtConfig(depths=(2, 2, 3, 1)),
    "attendnext": AttendNeXtConfig(depths=(3, 4, 6, 2)),
    "attendnext_arm": AttendNeXtConfig(
        widths=(64, 64, 256, 256),
        depths=(1, 2, 6, 2),
        columns=2,
        stem="patch",
        stem_stride=4,
        stage_strides=(2, 2, 1, 2),
        gate="sigmoid",
        expansion=1,
    ),
    "attendnext_arm_s": AttendNeXtConfig(
        widths=(64, 64, 192, 256),
        depths=(2, 2, 3, 1),
        stem="patch",
        stem_stride=4,
        gate="sigmoid",
    ),
    "attendnext_arm_m": AttendNeXtConfig(
        widths=(32, 224, 224, 384),
        depths=(2, 3, 3, 1),
        columns=2,
        stem="patch",
        stem_stride=4,
        stage_strides=(2, 2, 2, 1),
        gate="sigmoid",
        expansion=1,
    ),
    "attendnext_arm_xs": AttendNeXtConfig(
        widths=(32, 32, 160, 384),
        depths=(2, 3, 4, 2),
        columns=2,
        stem="patch",
        stem_stride=4,
        stage_strides=(2, 2, 2, 1),
        gate="sigmoid",
        expansion=1,
    ),
    "attendnext_nano": AttendNeXtConfig(
        widths=(16, 32, 64, 128),
        depths=(2, 2, 2, 1),
        stem_width=16,
        stem_stride=1,
        stem_pool=False,
        gate="sigmoid",
        classes=10,
        in_channels=1,
    ),
    "attendnext_nano_arm": AttendNeXtConfig(
        widths=(64, 64, 64, 64),
        depths=(2, 2, 2, 1),
        stem="patch",
        stem_stride=2,
        gate="sigmoid",
        classes=10,
        in_channels=1,
    ),
}
"""`attendnext_xa` is the published member (2311.11656), `attendnext` our reconstruction for ImageNet, and
`attendnext_nano` a member for images of 32x32 with one channel. Those with `_arm` in their names are members whose
columns fill the 16-wide tile of the int8 kernels for ARM (32 or 16 channels each where most pixels are), chosen by the
instructions of their layers there. `attendnext_arm` condenses a stage earlier and keeps the width of its stages 3 and 4
between blocks: columns of 128, and fewer numbers in the additions of the residuals, which int8 adds dearly.
`attendnext_arm_m` and `attendnext_arm_xs` have the fewest int8 instructions on a Cortex-A76 that
`benchmarks/arm_designs.py` finds at 350 and 150 M multiply-accumulates for 224x224, with 3.5 to 3.94 M parameters and
2.5 M or more: cost alone was looked at, and their stages 3 and 4 both work on 7x7."""


def attendnext_from_config(**fields: object) -> AttendNeXt:
    """Build from the fields of `AttendNeXtConfig`, as a Spec keeps them (lists where the config has tuples)."""
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    config = AttendNeXtConfig(**tuples)  # type: ignore[arg-type]
    for name in ("widths", "depths", "stage_strides"):
        entries = getattr(config, name)
        if not isinstance(entries, tuple) or len(entries) != len(BOTTLENECK):
            raise ValueError(f"{name} is {entries}, but there are {len(BOTTLENECK)} stages")
    return AttendNeXt(config)
