"""Quantization-aware training: weights and activation ranges are trained together, starting from PTQ's plan.

torchao places the fake quantizers by the same annotation as PTQ; ours have trained ranges. For the last third of the
steps the ranges stand still, so that the weights settle on the grid that will be shipped.

Source: arXiv 1902.08153 (learned step size), 2004.09576 (learned offset), 1806.08342 (freezing the ranges).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, fx, nn
from torchao.quantization.pt2e import FakeQuantizeBase
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

from attendc.compress.annotate import LiteRTQuantizer
from attendc.compress.graph import call_nodes, set_constant
from attendc.compress.plan import SMALLEST_SCALE, QuantPlan, plan_from_ranges
from attendc.compress.rules import ACT_QMAX, ACT_QMIN, WEIGHT_QMAX
from attendc.compress.tensors import sharing_groups, weighted_layers
from attendc.context import Context
from attendc.distributed.team import the_team
from attendc.exported import constant
from attendc.train import Task, TrainOptions, TrainResult, train
from attendc.types import QuantParams

__all__ = ["FROZEN_PART", "TrainedRange", "WeightGrid", "train_quantized"]

FROZEN_PART = 1 / 3


class TrainedRange(FakeQuantizeBase):  # type: ignore[misc]
    """Fake quantizer of an activation with a trained range.

    `bounds` are the two ends of the range in units of the width that PTQ found, so that one learning rate suits
    every tensor.
    """

    def __init__(self, **_: Any) -> None:
        """Build it with a range of [-1, 1] until `start` is called."""
        super().__init__()
        self.bounds = nn.Parameter(torch.tensor([-0.5, 0.5]))
        self.register_buffer("width", torch.tensor(2.0))
        self.register_buffer("fixed_scale", torch.tensor(0.0))
        self.register_buffer("fixed_zero_point", torch.tensor(0.0))
        self.dtype, self.qscheme = torch.int8, torch.per_tensor_affine

    def start(self, params: QuantParams, *, fixed: bool) -> None:
        """Take the range of `params`; a `fixed` one is never trained."""
        scale, zero_point = params.scale[0], params.zero_point[0]
        self.width.fill_(scale * (ACT_QMAX - ACT_QMIN))
        ends = [(q - zero_point) / (ACT_QMAX - ACT_QMIN) for q in (ACT_QMIN, ACT_QMAX)]
        self.bounds.data.copy_(torch.tensor(ends))
        if fixed:
            self.freeze(params)

    def freeze(self, params: QuantParams) -> None:
        """Use `params` from now on."""
        self.fixed_scale.fill_(params.scale[0])
        self.fixed_zero_point.fill_(float(params.zero_point[0]))
        self.bounds.requires_grad_(False)

    def _load_from_state_dict(self, *args: Any) -> None:
        """Load the range; one that was frozen is not trained any further."""
        super()._load_from_state_dict(*args)
        self.bounds.requires_grad_(not self.is_frozen)

    @property
    def is_frozen(self) -> bool:
        """Return whether the range stands still."""
        return float(self.fixed_scale) > 0

    def forward(self, x: Tensor) -> Tensor:
        """Return x rounded to the grid, with gradients for x and for the two ends of the range.

        bfloat16 has fewer digits than the grid, so that of mixed precision the range is always in float32.
        """
        x = x.float()
        if self.is_frozen:
            scale, zero_point = float(self.fixed_scale), int(self.fixed_zero_point)
            return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, ACT_QMIN, ACT_QMAX)
        scale_now, zero_now = self._trained()
        damping = 1 / math.sqrt(x.numel() * the_team().size * ACT_QMAX)  # as of the whole batch, if shares are equal
        y: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            x, scale_now.view(1), zero_now.view(1), ACT_QMIN, ACT_QMAX, damping
        )
        return y

    def params(self) -> QuantParams:
        """Return the parameters as they stand now."""
        if self.is_frozen:
            return QuantParams((float(self.fixed_scale),), (int(self.fixed_zero_point),))
        scale, zero_point = (value.detach() for value in self._trained())
        rounded = min(max(round(float(zero_point)), ACT_QMIN), ACT_QMAX)
        return QuantParams((float(scale),), (rounded,))

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """Return (scale, zero point), as torchao asks for them."""
        now = self.params()
        return torch.tensor(now.scale), torch.tensor(now.zero_point)

    def _trained(self) -> tuple[Tensor, Tensor]:
        low, high = self.bounds[0] * self.width, self.bounds[1] * self.width
        scale = ((high - low) / (ACT_QMAX - ACT_QMIN)).clamp(min=SMALLEST_SCALE)
        return scale, ACT_QMIN - low / scale


class WeightGrid(FakeQuantizeBase):  # type: ignore[misc]
    """Fake quantizer of a weight: symmetric per output channel, scale = max|w| / 127, frozen at the end."""

    scale: Tensor

    def __init__(self, **_: Any) -> None:
        """Build it without a scale; the first weight gives it one."""
        super().__init__()
        self.register_buffer("scale", torch.zeros(0))
        self.frozen = False
        self.dtype, self.qscheme = torch.int8, torch.per_channel_symmetric
        self.ch_axis = 0

    def get_extra_state(self) -> Tensor:
        """Return, for a resume state, whether the scale stands still."""
        return torch.tensor(self.frozen)

    def set_extra_state(self, state: Tensor) -> None:
        """Take what `get_extra_state` returned."""
        self.frozen = bool(state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load the scale, for which a new grid has no room yet."""
        held: Tensor = state_dict.get(f"{prefix}scale", self.scale)
        self.scale = torch.empty_like(held, device=self.scale.device)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight rounded to its grid; the gradient passes through."""
        if not self.frozen:
            largest = weight.detach().flatten(1).abs().amax(1)
            self.scale = (largest / WEIGHT_QMAX).clamp(min=SMALLEST_SCALE)
        zeros = torch.zeros_like(self.scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, self.scale, zeros, 0, -WEIGHT_QMAX, WEIGHT_QMAX)

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """Return (scale, zero point), as torchao asks for them."""
        return self.scale, torch.zeros_like(self.scale, dtype=torch.int64)


def train_quantized(
    graph: fx.GraphModule,
    plan: QuantPlan,
    task: Task,
    options: TrainOptions,
    context: Context,
) -> tuple[fx.GraphModule, QuantPlan, TrainResult]:
    """Return a copy of the float graph with trained weights, the trained plan, and how training went.

    Where the context has a resume folder, training goes on from the state `qat` there.
    """
    prepared = _prepare(graph, plan)
    task = Task(task.train, task.val, task.preprocess, task.teacher, _freeze_in_time)
    result = train(prepared, task, options, context, state_file=context.state_file("qat"))
    prepared.cpu()
    _freeze(prepared)
    trained = copy.deepcopy(graph)
    _take_weights(trained, prepared)
    return trained, plan_from_ranges(trained, _ranges(prepared)), result


def _prepare(graph: fx.GraphModule, plan: QuantPlan) -> fx.GraphModule:
    """Return a trainable copy with fake quantizers that start from the plan."""
    quantizer = LiteRTQuantizer(TrainedRange.with_args(), WeightGrid.with_args())
    prepared: fx.GraphModule = prepare_qat_pt2e(copy.deepcopy(graph), quantizer)
    fixed = sharing_groups(graph.graph)
    for node, module in _fake_quantizers(prepared, TrainedRange):
        name = node.all_input_nodes[0].name
        module.start(plan.activations[name], fixed=fixed.leader[name] in fixed.fixed)
    for parameter in prepared.parameters():
        parameter.data = parameter.data.contiguous()
    return prepared


def _freeze_in_time(model: nn.Module, step: int, steps: int) -> None:
    if step == _first_frozen(steps):
        _freeze(model)


def _first_frozen(steps: int) -> int:
    return steps - math.floor(steps * FROZEN_PART)


def _freeze(model: nn.Module) -> None:
    """Let every range stand still where it is."""
    for module in model.modules():
        if isinstance(module, TrainedRange) and not module.is_frozen:
            module.freeze(module.params())
        if isinstance(module, WeightGrid):
            module.frozen = True


def _fake_quantizers(gm: fx.GraphModule, kind: type) -> list[tuple[fx.Node, Any]]:
    modules = dict(gm.named_modules(remove_duplicate=False))
    calls = [n for n in gm.graph.nodes if n.op == "call_module"]
    return [(n, modules[str(n.target)]) for n in calls if isinstance(modules[str(n.target)], kind)]


def _ranges(prepared: fx.GraphModule) -> dict[str, QuantParams]:
    found = _fake_quantizers(prepared, TrainedRange)
    return {node.all_input_nodes[0].name: module.params() for node, module in found}


def _take_weights(graph: fx.GraphModule, prepared: fx.GraphModule) -> None:
    """Copy what was trained of `prepared` to `graph`: weights and biases of the layer of the same name, and the
    parameters that products and sums read, which keep their names.
    """
    trained = {n.name: n for n in call_nodes(prepared.graph)}
    done: set[fx.Node] = set()
    for node in weighted_layers(graph.graph):
        for position in (1, 2):
            own, other = node.args[position], trained[node.name].args[position]
            assert isinstance(own, fx.Node)
            assert isinstance(other, fx.Node)
            _take(graph, own, prepared, other if other.op == "get_attr" else other.all_input_nodes[0])
            done.add(own)
    for node in graph.graph.nodes:
        if node.op == "get_attr" and node not in done and isinstance(constant(graph, node), nn.Parameter):
            _take(graph, node, prepared, node)


def _take(graph: fx.GraphModule, own: fx.Node, prepared: fx.GraphModule, source: fx.Node) -> None:
    value = constant(prepared, source).detach()
    # Not as trained, in channels-last: torch.export.save is not sure to find all of such a tensor.
    set_constant(graph, own, value.clone(memory_format=torch.contiguous_format))
