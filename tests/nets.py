"""Tiny nets, what they want to see, and small pieces of real data, shared by the tests."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from torch import Tensor, fx, nn

from attendc.compress.capture import capture, probe
from attendc.compress.graph import call_nodes
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.plan import QuantPlan, apply_plan
from attendc.compress.ptq import calibrate
from attendc.context import Context
from attendc.converters.program import load_program, save_program
from attendc.converters.tflite_schema import constant, op_name, read_model, write_model
from attendc.data.images import Dataset, Images, take
from attendc.models.attendnext import AttendNeXt, attendnext_from_config
from attendc.types import Architecture, Preprocess, Spec, Stamp

RUN_FILES = {
    "manifest.json",
    "recipe.resolved.yaml",
    "report.html",
    "report.json",
    "MODEL_CARD.md",
    "run.log",
    "stages",
}
"""What is in the folder of every run beside its outputs."""

EXAMPLES = Path(__file__).parent.parent / "examples"
NANO, PICO = (EXAMPLES / f"attendnext_{name}.safetensors" for name in ("nano", "pico"))
"""The checkpoints that are shipped: that of the baseline, and the one that exploration found."""

TINY: dict[str, object] = {
    "widths": [4, 8, 8, 8],
    "depths": [1, 2, 2, 1],
    "columns": 2,
    "stem_width": 4,
    "stem_stride": 1,
    "stem_pool": False,
    "gate": "sigmoid",
    "classes": 10,
    "in_channels": 1,
}
"""Arguments of an AttendNeXt with every kind of block, for 1x16x16."""

TINY_ARGS = [f"--model-arg={k}={json.dumps(v)}" for k, v in TINY.items() if k != "classes"]
"""The same on the command line, where the data says how many classes there are."""

ARCHITECTURE = Architecture("attendnext", TINY)
PREPROCESS = Preprocess(16, 16, 1, (0.286,), (0.353,), "resize")
SPEC = Spec(ARCHITECTURE, PREPROCESS, tuple("abcdefghij"), "fashion-mnist-mini")


def tiny(*, seed: int = 0, **changed: object) -> AttendNeXt:
    """Return the tiny net with weights drawn by the seed."""
    torch.manual_seed(seed)
    return attendnext_from_config(**{**TINY, **changed})


def linear(*, seed: int = 0, classes: int = 10) -> nn.Sequential:
    """Return a linear classifier of 1x16x16."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(1), nn.Linear(256, classes))


def some(images: Images, per_class: int, classes: tuple[int, ...] = tuple(range(10))) -> Images:
    """Return the first `per_class` images of each of `classes`, in memory."""
    found = [np.flatnonzero(images.targets == c)[:per_class] for c in classes]
    return take(images, [int(i) for i in np.concatenate(found)])


def arrays(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (N, H, W) and the targets."""
    return np.stack(images.read(range(len(images))))[..., 0], images.targets


def write_npz(path: Path, dataset: Dataset, *, train: int = 6, test: int = 2) -> Path:
    """Write so many images of each class as an .npz that `--data` takes."""
    (train_images, train_labels), (test_images, test_labels) = (
        arrays(some(dataset.train, train)),
        arrays(some(dataset.test, test)),
    )
    np.savez(
        path,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        label_names=np.array(dataset.labels),
    )
    return path


# Networks of one idea each, for 1x8x8

N = TypeVar("N", bound=nn.Module)
SMALL = Preprocess(8, 8, 1, (0.286,), (0.353,), "resize")
SMALL_SPEC = Spec(Architecture("nets:small"), SMALL, tuple("abcdefghij"), "fashion-mnist-mini")
STAMP = Stamp("1.2.3", "5eed" * 16, SMALL_SPEC.labels, SMALL, "fashion-mnist-mini")


def one_norm(*, mean: float = 0.0, weight: float = 1.0) -> nn.Sequential:
    """Return a classifier whose one batch norm has this mean and these factors."""
    norm = nn.BatchNorm2d(4)
    nn.init.constant_(norm.running_mean, mean)  # type: ignore[arg-type]
    nn.init.constant_(norm.weight, weight)
    return nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, 10))


class Gate(nn.Module):
    """x * gate(conv(x))."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.branch, self.gate = nn.Conv2d(4, 4, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.branch(x))


class Residual(nn.Module):
    """relu(x + conv(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.branch(x))


class Concat(nn.Module):
    """Two convolutions side by side; (N, 4, H, W) -> (N, 4, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Slopes(nn.PReLU):
    """PReLU with these slopes."""

    def __init__(self, *slopes: float) -> None:
        super().__init__(len(slopes))
        self.weight.data = torch.tensor(slopes)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


MIDDLES: dict[str, Callable[[], nn.Module]] = {
    "conv_bn_relu": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
    "conv_relu6": lambda: nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU6()),
    "depthwise": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.ReLU()),
    "grouped": lambda: nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2),
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "sigmoid_gate": lambda: Gate(nn.Sigmoid()),
    "softmax_gate": lambda: Gate(nn.Softmax(1)),
    "hardsigmoid_gate": lambda: Gate(nn.Hardsigmoid()),
    "residual": Residual,
    "concat": Concat,
    "max_pool": lambda: nn.MaxPool2d(2),
    "average_pool": lambda: nn.AvgPool2d(3, 2, 1),
    "norm_after_pool": lambda: nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(4)),
    "dropout": lambda: nn.Dropout(0.5),
    "relu6_as_function": lambda: Call(lambda x: nn.functional.relu6(x + x)),
    "clamp": lambda: Call(lambda x: torch.clamp(x, 0, 6)),
    "numbers": lambda: Call(lambda x: 2.0 * x + 0.5),
    "activations": lambda: nn.Sequential(nn.LeakyReLU(0.1), nn.Tanh(), nn.GELU(), nn.GELU("tanh")),
    "prelu": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), Slopes(0.1, 0.25, -0.3, 0.8), nn.PReLU()),
    "elu": nn.ELU,
    "clamps": lambda: Call(lambda x: x.clamp(0, 1) - nn.functional.hardtanh(x) + x.clamp(max=0.5)),
    "arithmetic": lambda: Call(lambda x: (1 - x) / 3 + x.pow(2) / torch.sqrt(x * x + 0.1)),
    "norms": lambda: nn.Sequential(ChannelNorm(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)),
    "group_norm": lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.ReLU()),
    "border_pools": lambda: nn.Sequential(
        nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.AvgPool2d(3, 2, ceil_mode=True)
    ),
    "adaptive_pools": lambda: nn.Sequential(nn.AdaptiveAvgPool2d((5, None)), nn.AdaptiveMaxPool2d((4, 3))),
    "reductions": lambda: Call(lambda x: x.amax((2, 3), keepdim=True) + x.mean(1, keepdim=True) * x.amax(1, True)),
    "fixed_beside_own": lambda: Call(lambda x: torch.cat([torch.sigmoid(x), 3 * x], 1)[:, 2:6]),
    "nearest": lambda: nn.Sequential(nn.Upsample(size=(5, 13)), nn.Upsample(scale_factor=2)),
    "bilinear": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample((9, 9), mode="bilinear", align_corners=True)
    ),
    "pool_twice": lambda: Call(
        lambda x: nn.functional.avg_pool2d(x, 2) * torch.sigmoid(nn.functional.avg_pool2d(x, 2))
    ),
}
"""What stands between a convolution to 4 channels and a global pool with a linear head; all of it runs in int8."""

FLOAT_MIDDLES: dict[str, Callable[[], nn.Module]] = {
    "erf": lambda: Call(torch.erf),
    "cubes": lambda: Call(lambda x: x**3),
}
"""The same, with an operator that has no int8 rule."""


def small(middle: str, *, seed: int = 0) -> nn.Sequential:
    """Return a network of 1x8x8 around one of `MIDDLES` or `FLOAT_MIDDLES`, its batch norms as after training."""
    torch.manual_seed(seed)
    part = {**MIDDLES, **FLOAT_MIDDLES}[middle]()
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, 10)]
    return settle(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), part, *ends))


class Mixed(nn.Module):
    """A network of 1x8x8 with one of each: what is expensive to build is built once, from this."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.ReLU6())
        self.gate = Gate(nn.Sigmoid())
        self.concat = Concat()
        self.grouped = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = nn.functional.silu(x + self.depthwise(x))
        x = self.concat(nn.functional.max_pool2d(self.gate(x), 2))
        x = nn.functional.avg_pool2d(self.grouped(x), 2)
        y: Tensor = self.head(x.mean((2, 3)))
        return y


def mixed(*, seed: int = 0) -> Mixed:
    """Return the mixed net, its batch norms as after training."""
    torch.manual_seed(seed)
    return settle(Mixed())


def settle(net: N) -> N:
    """Give batch norms statistics, factors and offsets drawn at random, and return the net in eval mode."""
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.2)
    return net.eval()


@dataclass(frozen=True)
class Built:
    """A network on its way to int8, each stage kept."""

    net: nn.Module
    floating: fx.GraphModule
    ready: fx.GraphModule
    corrected: fx.GraphModule
    plan: QuantPlan
    quantized: fx.GraphModule


def build(net: nn.Module, samples: list[Tensor], folder: Path) -> Built:
    """Capture, calibrate and quantize a network of 1x8x8; the graphs are read back from files, as users' are."""
    floating = capture(net, SMALL)
    ready = run_passes(copy.deepcopy(floating), INT8_PASSES)
    corrected, plan = calibrate(ready, samples, ranges="mse", context=Context())
    return Built(
        net,
        reloaded(floating, folder),
        ready,
        corrected,
        plan,
        reloaded(apply_plan(corrected, plan), folder),
    )


def reloaded(graph: fx.GraphModule, folder: Path) -> fx.GraphModule:
    """Return the graph after a round trip through a file."""
    save_program(folder / "round.pt2", graph, SMALL_SPEC, STAMP)
    return load_program(folder / "round.pt2").graph


def ops(graph: fx.GraphModule) -> list[str]:
    """Return the names of the operators on tensors of a graph in order: `conv2d`, `relu`, ..."""
    names = [n.target.overloadpacket.__name__ for n in call_nodes(graph.graph) if hasattr(n.target, "overloadpacket")]
    return [name for name in names if name != "sym_size"]


def raw(net: nn.Module, preprocess: Preprocess = SMALL) -> fx.GraphModule:
    """Return the exported graph of a network before any pass."""
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(net, (probe(preprocess),), dynamic_shapes=({0: batch},), strict=False)
    return program.run_decompositions({}).module(check_guards=False)


def distance(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return the largest difference of two outputs."""
    with torch.no_grad():
        return float((first(x) - second(x)).abs().max())


def changed_tflite(source: Path, target: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Write a copy of a .tflite of the mixed net with other integers in its linear layer."""
    model = read_model(source)
    layer = next(o for o in model.subgraphs[0].operators if op_name(model, o) == "FULLY_CONNECTED")
    tensor = model.subgraphs[0].tensors[layer.inputs[1]]
    weight = constant(model, tensor, np.int8)
    assert weight is not None
    model.buffers[tensor.buffer].data = list(change(weight.copy()).tobytes())
    write_model(target, model)
    return target


def changed_onnx(source: Path, target: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Write a copy of an .onnx with another initializer."""
    model = onnx.load(source)
    tensor = next(i for i in model.graph.initializer if i.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(tensor).copy()), name))
    onnx.save(model, target)
    return target
