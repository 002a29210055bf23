"""SavedModels: plain TensorFlow operators in NHWC that compute what the graph computes."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from nets import MIDDLES, NANO, SMALL, STAMP, Built, Call, raw, settle, small
from torch import Tensor, fx, nn

from attendc.compress.capture import capture
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.plan import apply_plan, plan_from_ranges
from attendc.converters.read_savedmodel import inspect_savedmodel
from attendc.converters.to_savedmodel import write_savedmodel
from attendc.errors import CheckpointError, ConversionError, OutputError
from attendc.locations import content_hash
from attendc.opening import CheckpointRequest, open_checkpoint
from attendc.qdq import output_params
from attendc.runtimes import savedmodel_runner
from attendc.types import QuantParams

pytestmark = pytest.mark.slow  # TensorFlow is imported

AS_FLOAT = dataclasses.replace(STAMP, dtype="float32", calibration="")


@pytest.mark.parametrize("count", [1, 7])
def test_a_float_model_computes_what_its_graph_computes(
    count: int, savedmodels: dict[str, Path], built: Built, seen: Tensor
) -> None:
    y = savedmodel_runner(savedmodels["savedmodel_float32"])(seen[:count])
    assert (y.dtype, tuple(y.shape)) == (torch.float32, (count, 10))
    assert torch.allclose(y, built.floating(seen[:count]), atol=1e-5)


@pytest.mark.parametrize("count", [1, 7])
def test_an_int8_model_gives_the_graphs_integers_or_the_next(
    count: int, savedmodels: dict[str, Path], built: Built, seen: Tensor
) -> None:
    """Sums in another order may differ in their last bit, and so round apart where they lie between two integers."""
    steps = steps_apart(savedmodels["savedmodel"], built.quantized, seen[:count])
    assert steps.max() <= 1.01
    assert (steps > 0.01).float().mean() < 0.05


def steps_apart(path: Path, graph: fx.GraphModule, x: Tensor) -> Tensor:
    """Return the differences of the outputs in steps of the graph's output."""
    with torch.no_grad():
        return (savedmodel_runner(path)(x) - graph(x)).abs() / output_params(graph.graph)[0]


@pytest.mark.slow
@pytest.mark.parametrize("middle", MIDDLES)
def test_each_kind_of_int8_operator_gives_the_graphs_integers_or_one_near_them(
    middle: str, seen: Tensor, tmp_path: Path
) -> None:
    graph = run_passes(capture(small(middle), SMALL), INT8_PASSES)
    ranges = {n.name: QuantParams((0.02,), (-20,)) for n in graph.graph.nodes}
    quantized = apply_plan(graph, plan_from_ranges(graph, ranges))
    write_savedmodel(tmp_path / "x", quantized, STAMP)
    # Two where norms are divided twice by roots that TensorFlow and torch round apart.
    assert steps_apart(tmp_path / "x", quantized, seen[:20]).max() <= 2.01
    assert inspect_savedmodel(tmp_path / "x")["transposes"] == 0


class Parallel(nn.Module):
    """Networks that each take the same (N, 4, 8, 8); what they return is laid side by side, (N, all of it)."""

    def __init__(self, parts: dict[str, Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.parts = nn.ModuleList([p if isinstance(p, nn.Module) else Call(p) for p in parts.values()])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat([part(x).flatten(1) for part in self.parts], 1)


class Tokens(nn.Module):
    """A transformer block on pixels as tokens, behind a class token; (N, 4, 8, 8) -> (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True, norm_first=True)
        self.first = nn.Parameter(torch.randn(1, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        y: Tensor = self.block(torch.cat([self.first.expand(x.shape[0], -1, -1), tokens], 1))[:, 0]
        return y


class Windows(nn.Module):
    """Attention inside shifted windows of 4x4, as Swin has it; (N, 4, 8, 8) -> (N, 4, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.bias = nn.Linear(4, 12), nn.Parameter(torch.randn(2, 16, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.roll(x.permute(0, 2, 3, 1), (-2, -2), (1, 2))
        x = x.view(-1, 2, 4, 2, 4, 4).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 4)
        q, k, v = self.qkv(x).reshape(-1, 16, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        x = ((q @ k.transpose(-2, -1) + self.bias).softmax(-1) @ v).transpose(1, 2)
        x = x.reshape(-1, 2, 2, 4, 4, 4).permute(0, 1, 3, 2, 4, 5).reshape(-1, 8, 8, 4)
        return torch.roll(x, (2, 2), (1, 2)).permute(0, 3, 1, 2)


def channel_shuffle(x: Tensor) -> Tensor:
    return x.view(-1, 2, 2, 8, 8).transpose(1, 2).reshape(-1, 4, 8, 8)


def split_apart(x: Tensor) -> Tensor:
    a, b = x.split([1, 3], 1)
    c, d = x.chunk(2, 2)
    return torch.cat([b, a * 2], 1) + torch.cat([d, c], 2) + x[:, 1:2] + x[:, 2].unsqueeze(1)


FAMILIES: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {
    "layers": {
        "grouped and dilated with a stride": nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2, stride=2),
        "depthwise with a multiplier": nn.Conv2d(4, 8, (3, 5), padding=(1, 2), groups=4),
        "depthwise with a stride": nn.Conv2d(4, 4, 3, padding=1, groups=4, stride=2),
        "depthwise and dilated with a stride": nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, stride=2),
        "depthwise with unequal strides": nn.Conv2d(4, 4, 3, padding=1, groups=4, stride=(1, 2)),
        "padded unlike TensorFlow's SAME": nn.Conv2d(4, 4, 3, padding=1, stride=2),
        "padded by name": nn.Conv2d(4, 4, 5, padding="same"),
        "linear on the last axis of four": nn.Linear(8, 5),
        "linear on channels": lambda x: F.linear(x.permute(0, 2, 3, 1), torch.eye(4)[:3]),
        "matmul": lambda x: x @ x.transpose(2, 3) + x @ x,
        "attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
        "einsum": lambda x: torch.einsum("bchw,bdhw->bcd", x, x),
        "a transformer": Tokens(),
        "windowed attention": Windows(),
    },
    "activations": {
        **{m.__class__.__name__: m for m in (nn.ReLU(), nn.ReLU6(), nn.Hardtanh(), nn.Sigmoid(), nn.Tanh(), nn.SiLU())},
        **{m.__class__.__name__: m for m in (nn.Hardswish(), nn.Hardsigmoid(), nn.GELU(), nn.LeakyReLU(0.3))},
        **{m.__class__.__name__: m for m in (nn.PReLU(4), nn.ELU(), nn.CELU(0.7), nn.SELU(), nn.Mish())},
        **{m.__class__.__name__: m for m in (nn.Softplus(), nn.GLU(1), nn.LogSigmoid(), nn.Softmax(1))},
        "GELU by tanh": nn.GELU("tanh"),
        "softmax over rows": nn.Softmax(2),
        "log softmax": nn.LogSoftmax(1),
    },
    "arithmetic": {
        "roots and powers": lambda x: (x.abs() + 1).sqrt() + torch.rsqrt(x * x + 1) + x.pow(2) + (x * x + 1) ** 1.5,
        "logarithms": lambda x: (x.exp() + 1).log() + torch.log1p(x.abs()) + torch.expm1(x),
        "quotients": lambda x: x / 3 + 1 / (x * x + 2) - x.abs().reciprocal().clamp(max=2),
        "differences": lambda x: 2 - x - (x - 1) + torch.sub(x, x * x, alpha=0.5) + torch.rsub(x, 3, alpha=2),
        "bounds": lambda x: x.clamp(-0.5, 0.7) + x.clamp(min=0.1) + torch.maximum(x, -x) + torch.minimum(x, x * 2),
        "waves": lambda x: x.sin() * x.cos() + torch.erf(x) + x.floor() + x.sign(),
        "choices": lambda x: torch.where(x > 0, x, x * 0.1) + x.masked_fill(x < 0.2, 0.3) + (x >= 0).float(),
        "lower ranks": lambda x: x * torch.arange(8.0) + torch.arange(4.0).view(4, 1, 1) + x.mean((2, 3))[0, 0],
    },
    "pools": {
        "max, padded": nn.MaxPool2d(3, 2, 1),
        "max, rounded up": nn.MaxPool2d(3, 2, ceil_mode=True),
        "average of the padded": nn.AvgPool2d(3, 2, 1),
        "average of the inside": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        "average, rounded up": nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        "average by another number": nn.AvgPool2d(2, 2, divisor_override=3),
        "adaptive": nn.AdaptiveAvgPool2d((3, 4)),
        "adaptive max": nn.AdaptiveMaxPool2d((3, 2)),
        "nearest": nn.Upsample(size=(5, 13)),
        "nearest, exact": nn.Upsample(size=(5, 13), mode="nearest-exact"),
        "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
        "bilinear by corners": nn.Upsample(size=(12, 11), mode="bilinear", align_corners=True),
    },
    "norms": {
        "layer": nn.LayerNorm([4, 8, 8]),
        "layer, of channels": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), [4], torch.arange(4.0), torch.ones(4)),
        "group": nn.GroupNorm(2, 4),
        "one group": nn.GroupNorm(1, 4),
        "instance": nn.InstanceNorm2d(4, affine=True),
        "root mean square": nn.RMSNorm([8]),
        "batch": settle(nn.BatchNorm2d(4)),
        "vector": lambda x: F.normalize(x, dim=1),
        "reductions": lambda x: x.var((2, 3)) + x.std(3).mean(2) + x.amax((2, 3)) - x.amin((2, 3)) + x.sum((2, 3)),
        "mean of rows": lambda x: x.mean(2) + x.mean(-1),
    },
    "layout": {
        "flat": nn.Flatten(1),
        "pixel shuffle": lambda x: F.pixel_shuffle(torch.cat([x, x + 1], 1), 2),
        "pixel unshuffle": nn.PixelUnshuffle(2),
        "channel shuffle": channel_shuffle,
        "pads": lambda x: F.pad(F.pad(x, (1, 2, 0, 1), mode="reflect"), (2, 1, 1, 1), mode="replicate"),
        "a pad by a number": lambda x: F.pad(x, (1, 0, 0, 2, 1, 1), value=0.5),
        "a negative pad": lambda x: F.pad(x, (-1, 1, -2, 0)),
        "a circular pad": lambda x: F.pad(x, (1, 2, 3, 1), mode="circular"),
        "parts": split_apart,
        "slices": lambda x: x[:, 1:3, ::2, -3:],
        "stack": lambda x: torch.stack([x, x * 2], 2),
        "flip": lambda x: x.flip(2) + x.flip(1),
        "index": lambda x: x[:, [3, 1, 0, 2]],
        "axes": lambda x: x.transpose(-1, -2).unsqueeze(1).squeeze(1).permute(0, -1, 1, 2).repeat(1, 1, 2, 1),
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_operators_of_float_graphs_compute_what_torch_computes(family: str, seen: Tensor, tmp_path: Path) -> None:
    net = Parallel(copy.deepcopy(FAMILIES[family])).eval()
    write_savedmodel(tmp_path / "x", raw(net), AS_FLOAT)
    run = savedmodel_runner(tmp_path / "x")
    with torch.no_grad():
        sizes = [math.prod(part(torch.zeros(1, 4, 8, 8)).shape) for part in net.parts]
        for x in (seen[:1], seen[:7]):
            pairs = zip(run(x).split(sizes, 1), net(x).split(sizes, 1), strict=True)
            off = [float((a - b).abs().max() / (1 + b.abs().max())) for a, b in pairs]
            wrong = {name: o for name, o in zip(FAMILIES[family], off, strict=True) if not o <= 1e-5}
            assert wrong == {}


def test_no_axes_are_moved_in_a_network_of_convolutions(tmp_path: Path) -> None:
    opened = open_checkpoint(CheckpointRequest(NANO))
    stamp = dataclasses.replace(AS_FLOAT, preprocess=opened.spec.preprocess)
    write_savedmodel(tmp_path / "x", capture(opened.model, stamp.preprocess), stamp)
    facts = inspect_savedmodel(tmp_path / "x")
    assert (facts["transposes"], facts["ops"]["Conv2D"] > 10) == (0, True)


@pytest.mark.parametrize(
    ("function", "transposes"),
    [
        (lambda x: F.linear(x.flatten(2).transpose(1, 2), torch.eye(4)), 0),  # pixels as tokens: memory has them so
        (channel_shuffle, 1),  # the shuffle itself
    ],
)
def test_a_reshape_leaves_axes_where_they_are(
    function: Callable[[Tensor], Tensor], transposes: int, tmp_path: Path
) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), Call(function), nn.Flatten(2), Call(lambda x: x.mean(2)))
    write_savedmodel(tmp_path / "x", raw(net), AS_FLOAT)
    assert inspect_savedmodel(tmp_path / "x")["transposes"] == transposes


def test_the_same_graph_gives_the_same_bytes(savedmodels: dict[str, Path], built: Built, tmp_path: Path) -> None:
    write_savedmodel(tmp_path / "x", copy.deepcopy(built.quantized), STAMP)
    assert content_hash(tmp_path / "x") == content_hash(savedmodels["savedmodel"])
    assert content_hash(tmp_path / "x") != content_hash(savedmodels["savedmodel_float32"])


def test_it_holds_one_graph_and_the_stamp_and_nothing_else(savedmodels: dict[str, Path]) -> None:
    folder = savedmodels["savedmodel"]
    held = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert held == ["assets.extra/attendc.json", "saved_model.pb"]


def test_weights_are_stored_as_int8(tmp_path: Path) -> None:
    """A linear layer of 64 x 4000 has 256,000 weights: as many bytes, and 4 for each in float32."""
    net = nn.Sequential(nn.Flatten(1), nn.Linear(64, 4000))
    graph = run_passes(capture(net, SMALL), INT8_PASSES)
    ranges = {n.name: QuantParams((0.02,), (0,)) for n in graph.graph.nodes}
    write_savedmodel(tmp_path / "int8", apply_plan(graph, plan_from_ranges(graph, ranges)), STAMP)
    write_savedmodel(tmp_path / "float32", capture(net, SMALL), AS_FLOAT)
    held = {name: (tmp_path / name / "saved_model.pb").stat().st_size for name in ("int8", "float32")}
    for_an_output = 4 * 4000  # a bias; in int8 its step and the weight's scale too
    assert 256_000 < held["int8"] < 256_000 + 3 * for_an_output + 10_000
    assert 4 * 256_000 < held["float32"] < 4 * 256_000 + for_an_output + 10_000


def test_an_operator_without_an_emitter_is_named_with_its_module(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(1), Call(torch.special.i0))
    with pytest.raises(ConversionError, match=r"has no operator for aten\.\w*i0\.default in 2 \(Call\)"):
        write_savedmodel(tmp_path / "x", raw(net), AS_FLOAT)
    assert list(tmp_path.iterdir()) == []


def test_what_an_emitter_refuses_is_named_with_its_reason(tmp_path: Path) -> None:
    net = nn.Sequential(nn.MaxPool2d(2, dilation=2), nn.Flatten(1))
    with pytest.raises(ConversionError, match=r"aten\.max_pool2d\.default in 0 \(MaxPool2d\): a dilated max pool"):
        write_savedmodel(tmp_path / "x", raw(net), AS_FLOAT)


def test_a_model_takes_the_place_of_a_model_and_of_nothing_else(built: Built, tmp_path: Path) -> None:
    for _ in range(2):
        write_savedmodel(tmp_path / "x", built.floating, AS_FLOAT)
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputError, match=r"mine exists and holds no saved_model\.pb"):
        write_savedmodel(tmp_path / "mine", built.floating, AS_FLOAT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "x"]


def test_a_runner_names_what_it_cannot_load(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"x is no SavedModel: it holds no saved_model\.pb"):
        savedmodel_runner(tmp_path / "x")
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"TensorFlow cannot load .*: "):
        savedmodel_runner(tmp_path)
