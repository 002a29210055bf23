"""Networks that no one here wrote: timm's and torch.nn's, a block or two of each kind, for images of 3x32x32.

Their classes are timm's own; narrow and short, so that each goes to every target in seconds.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foreign import without_torchvision
from torch import Tensor, nn

__all__ = ["ATTENTION", "CONVNETS", "MIXERS", "Member"]

CLASSES = 10


@dataclass(frozen=True)
class Member:
    """Attributes:
    build: makes the network with fresh weights, (N, 3, 32, 32) -> (N, 10).
    refused: what int8 refuses it with, a regular expression; empty where all of it can be int8.
    agreement: least top-1 agreement of two int8 files, or one and its graph.
    drop: most accuracy, in points of percent, that int8 may lose; 1 point is one of 100 images.
    sqnr_db: least signal-to-noise ratio of an int8 file against its graph.
    why: the reason where one of these is not as usual.
    """

    build: Callable[[], nn.Module]
    refused: str = ""
    agreement: float = 0.95
    drop: float = 6.0
    sqnr_db: float = 25.0
    why: str = ""


def _timm(module: str) -> Any:
    """Import a module of timm's when it is needed first, which takes seconds."""
    with without_torchvision():
        return importlib.import_module(f"timm.models.{module}")


def _net(module: str, kind: str, *arguments: Any, **said: Any) -> nn.Module:
    network: nn.Module = getattr(_timm(module), kind)(*arguments, num_classes=CLASSES, **said)
    return network


class Transformer(nn.Module):
    """Patches of an image through torch.nn.TransformerEncoder: (N, 3, 32, 32) -> (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 48, 8, 8)
        layer = nn.TransformerEncoderLayer(48, 4, 96, batch_first=True, activation="gelu", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        y: Tensor = self.head(self.encoder(tokens).mean(1))
        return y


def _resnet(block: type[nn.Module], **changed: Any) -> nn.Module:
    widths = {"channels": (16, 24, 32, 48), "stem_width": 16, "zero_init_last": False}
    return _net("resnet", "ResNet", block, (1, 1, 1, 1), **{**widths, **changed})


def _mobilenetv3() -> nn.Module:
    """Depthwise convolutions of 3x3 and 5x5, squeeze-and-excitation with hard-sigmoid, hardswish."""
    blocks = ["ds_r1_k3_s2_e1_c16_se0.25_nre"], ["ir_r2_k5_s2_e3_c32_se0.25"]
    stages = _timm("_efficientnet_builder").decode_arch_def([*blocks, ["cn_r1_k1_s1_c96"]])
    return _net("mobilenetv3", "MobileNetV3", stages, act_layer=nn.Hardswish, stem_size=16, num_features=128)


def _byob(*blocks: Any, **changed: Any) -> nn.Module:
    return _net("byobnet", "ByobNet", _timm("byobnet").ByoModelCfg(blocks=blocks, stem_chs=16, **changed))


def _mobileone() -> nn.Module:
    """Three branches at a time, two of them of convolutions, all linear."""
    width_and_group = (16, 0), (16, 1), (32, 0), (48, 0)  # a group of 1 channel: depthwise
    kwargs = {"num_conv_branches": 2}
    blocks = [_timm("byobnet").ByoBlockCfg("one", d=1, c=c, s=2, gs=g, block_kwargs=kwargs) for c, g in width_and_group]
    return _byob(*blocks, stem_type="one")


def _repvgg() -> nn.Module:
    blocks = [_timm("byobnet").ByoBlockCfg("rep", d=d, c=c, s=2) for d, c in ((2, 16), (2, 32), (1, 48))]
    return _byob(*blocks, stem_type="rep")


def _mobilevit() -> nn.Module:
    """An inverted residual, then attention between the patches of an image that is unfolded and folded again."""
    attention = _timm("mobilevit")._mobilevit_block(
        1, 24, 2, transformer_dim=32, transformer_depth=1, patch_size=2, br=2.0
    )
    parts = {"stem_type": "3x3", "stem_pool": "", "downsample": "", "act_layer": "silu", "num_features": 64}
    return _byob(_timm("mobilevit")._inverted_residual_block(1, 16, 2, br=2.0), attention, **parts)


def _darknet() -> nn.Module:
    """Cross-stage parts (a split and a concatenation), leaky ReLU."""
    stages = _timm("cspnet").CspStagesCfg(
        depth=(1, 1, 1),
        out_chs=(16, 32, 48),
        stride=(2,),
        bottle_ratio=(0.5, 1.0),
        block_ratio=(1.0, 0.5),
        expand_ratio=(2.0, 1.0),
        down_growth=True,
        block_type="dark",
    )
    stem = _timm("cspnet").CspStemCfg(out_chs=8, kernel_size=3, stride=1, pool="")
    return _net("cspnet", "CspNet", _timm("cspnet").CspModelCfg(stem=stem, stages=stages))


def _poolformer() -> nn.Module:
    """Group norm, and average pools that leave out the padding, minus what they pool."""
    return _net(
        "metaformer",
        "MetaFormer",
        depths=(1, 1, 1, 1),
        dims=(16, 16, 24, 32),
        mlp_act=nn.GELU,
        mlp_bias=True,
        norm_layers=_timm("metaformer").GroupNorm1,
        downsample_norm=None,
        layer_scale_init_values=0.5,
        res_scale_init_values=None,
        use_mlp_head=False,
    )


CONVNETS: Mapping[str, Member] = {
    "resnet": Member(lambda: _resnet(_timm("resnet").BasicBlock)),
    "densenet": Member(
        lambda: _net("densenet", "DenseNet", block_config=(1, 2), growth_rate=8),
    ),
    "darknet": Member(_darknet),
    "repvgg": Member(_repvgg),
    "mobileone": Member(_mobileone),
    "mobilenetv3": Member(_mobilenetv3),
}
"""Convolutions, batch norms, and gates at most."""

MIXERS: Mapping[str, Member] = {
    "convnext": Member(
        lambda: _net("convnext", "ConvNeXt", depths=(1, 1, 1, 1), dims=(16, 16, 24, 32), ls_init_value=0.5)
    ),
    "poolformer": Member(_poolformer),
    "mixer": Member(lambda: _net("mlp_mixer", "MlpMixer", patch_size=8, num_blocks=1, embed_dim=48, img_size=32)),
}
"""Layer and group norms, GELU, linear layers over tokens and channels."""

ATTENTION: Mapping[str, Member] = {
    "transformer": Member(Transformer),
    "vit": Member(
        lambda: _net(
            "vision_transformer", "VisionTransformer", patch_size=8, embed_dim=48, depth=1, num_heads=4, img_size=32
        )
    ),
    "swin": Member(
        lambda: _net(
            "swin_transformer",
            "SwinTransformer",
            patch_size=4,
            window_size=4,
            embed_dim=32,
            depths=(2,),
            num_heads=(2,),
            img_size=32,
        )
    ),
    "mobilevit": Member(_mobilevit),
    "xcit": Member(
        lambda: _net(
            "xcit", "Xcit", patch_size=8, embed_dim=32, depth=1, num_heads=4, cls_attn_layers=1, eta=1.0, img_size=32
        ),
        refused=r"linalg_vector_norm\.default in blocks\.0\.attn \(XCA\): LiteRT has no int8 kernel for it; "
        r"div\.Tensor in blocks\.0\.attn \(XCA\): LiteRT divides in float only",
    ),
}
"""Attention between tokens, windows, or channels."""
