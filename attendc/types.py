"""The frozen data that flows between steps: what a network is, what it wants to see, what was done to it.

Nothing here imports torch or numpy, so every other module may import this one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

__all__ = [
    "METADATA_FILE",
    "SPEC_KEY",
    "Architecture",
    "Layer",
    "Preprocess",
    "QuantParams",
    "QuantTable",
    "Spec",
    "Stamp",
    "Surgery",
]

SPEC_KEY, METADATA_FILE = "attendc.spec", "attendc.json"
"""Where the Spec stands in the metadata of a .safetensors, and what we say in the archives of torch."""

Fit = Literal["pad", "resize", "crop", "none"]


@dataclass(frozen=True)
class Surgery:
    """What pruning took out of the network that a factory builds.

    Attributes:
        removed: names of the blocks that became identities.
        layers: name of each changed layer -> its (outputs, inputs, groups) now. A norm has as many inputs as outputs.
    """

    removed: tuple[str, ...] = ()
    layers: dict[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """How to build the network again.

    Attributes:
        factory: a family of attendc's, or `package.module:function`.
        args: its keywords.
        surgery: what is then changed in the network that it returns.
    """

    factory: str
    args: dict[str, Any] = field(default_factory=dict)
    surgery: Surgery = field(default_factory=Surgery)

    @property
    def is_foreign(self) -> bool:
        """True where building the network imports code that is not attendc's."""
        return ":" in self.factory


@dataclass(frozen=True)
class Preprocess:
    """From a uint8 image to the network's input, float32 (N, C, H, W).

    Attributes:
        height: rows of the network's input.
        width: columns of the network's input.
        channels: 1 (luminance) or 3 (RGB).
        mean: per channel, in units of 0..1, subtracted after division by 255.
        std: per channel, in units of 0..1.
        fit: `pad` centres the image on a canvas of zeros, `resize` scales both sides, `crop` scales the
            shorter side and cuts the centre, `none` demands the exact size.
        crop_ratio: for `crop`: the part of the scaled shorter side that is kept (0.875 keeps 224 of 256).
        layout: the layout that the torch network takes; converters to NHWC say so in their own metadata.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit = "resize"
    crop_ratio: float = 0.875
    layout: Literal["NCHW"] = "NCHW"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return (C, H, W)."""
        return (self.channels, self.height, self.width)


@dataclass(frozen=True)
class Spec:
    """Everything a later step must know about a checkpoint, so that nobody has to be asked again.

    Attributes:
        architecture: how to build the network.
        preprocess: how its input is made.
        labels: a name per class, in the order of the outputs.
        data: what `--data` takes when a command is not told otherwise; empty if unknown.
        history: one entry per step that made this checkpoint, oldest first.
    """

    architecture: Architecture
    preprocess: Preprocess
    labels: tuple[str, ...]
    data: str = ""
    history: tuple[dict[str, Any], ...] = ()

    @property
    def classes(self) -> int:
        """Return the number of outputs."""
        return len(self.labels)

    def after(self, **step: Any) -> Spec:
        """Return a copy with one more entry of history."""
        return replace(self, history=(*self.history, step))


@dataclass(frozen=True)
class QuantParams:
    """How the real numbers of one tensor are written as integers: real = scale * (integer - zero_point).

    Attributes:
        scale: one entry, or one per output channel.
        zero_point: as long as `scale`.
        qmin: smallest integer used.
        qmax: largest integer used.
        ch_axis: axis of the channels that `scale` runs over; None per tensor.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    qmin: int = -128
    qmax: int = 127
    ch_axis: int | None = None


@dataclass(frozen=True)
class Layer:
    """The integers of one convolution or linear layer, in the layout of torch.

    Attributes:
        weight: int8 (O, I, H, W) or (O, I), as bytes in that order.
        shape: of the weight.
        scale: float32 per output channel.
        bias: (O,), steps of input scale x weight scale (int32, or int64 behind int16 activations); real numbers
            where the input is float.
    """

    weight: bytes
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    bias: tuple[float, ...]


@dataclass(frozen=True)
class QuantTable:
    """Every scale, zero point and integer weight of a quantized graph, or read back from an artefact.

    Attributes:
        activations: (scale, zero point) of each tensor, by the tensor's own name there.
        layers: by the layer's own name there.
    """

    activations: dict[str, tuple[float, int]]
    layers: dict[str, Layer]


@dataclass(frozen=True)
class Stamp:
    """What is written into every artefact so that it can be traced back and used without asking anybody.

    Attributes:
        attendc: version that made it.
        checkpoint_sha256: of the checkpoint it came from.
        labels: a name per class.
        preprocess: how its input is made.
        calibration: where the ranges come from; `random` where no data was used, empty in float artefacts.
        dtype: `int8`, `float32`, `float16`, `dynamic` or `int16`; formats but tflite have the first two.
        weights: where they come from if from no checkpoint: `random (seed 0), not trained`.
        verification: `not verified` where nobody asked for a proof.
    """

    attendc: str
    checkpoint_sha256: str
    labels: tuple[str, ...]
    preprocess: Preprocess
    calibration: str = ""
    dtype: str = "int8"
    weights: str = ""
    verification: str = ""

    @property
    def caveat(self) -> str:
        """Return what to know before trusting an artefact; empty where there is nothing."""
        return "; ".join(text for text in (self.weights and f"weights: {self.weights}", self.verification) if text)

    def as_json(self) -> dict[str, Any]:
        """Return what artefacts hold; of the caveats those that there are."""
        return {k: v for k, v in asdict(self).items() if v or k not in ("weights", "verification")}
