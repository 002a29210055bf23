"""How far each tensor of the int8 graph is from the float network's, and how the numbers of both are spread.

The int8 graph is the float graph after `INT8_PASSES`, with roundings put in. So the passes are run on the float network
again, and both have the same operators in the same order: each tensor is compared with its own float self, as the
network gives it that was never rounded or, after quantization-aware training, never trained so. Where the order is
another, an operator is known by its module and its turn in there, and what stays unknown is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from attendc.compress.capture import capture
from attendc.compress.passes import INT8_PASSES, run_passes
from attendc.compress.passes.prove import MOST_SAMPLES, proof_samples
from attendc.compress.rules import ACT_QMAX, ACT_QMIN, rule_of
from attendc.context import Context
from attendc.data.images import Images
from attendc.data.preprocess import batches
from attendc.exported import constant
from attendc.qdq import activation_nodes, layer_nodes
from attendc.types import Preprocess

__all__ = ["BINS", "MOST_IMAGES", "Spread", "TensorSpread", "measure_spreads"]

MOST_IMAGES = 64
BINS = 40
_BATCH = 8
_ROUNDINGS = "quantized_decomposed"
_MOVES = ("RESHAPE", "TRANSPOSE", "PAD", "STRIDED_SLICE")
"""Operators that compute nothing."""
_MOST_DB = 999.0


@dataclass(frozen=True)
class Spread:
    """Attributes:
    low: the smallest value.
    high: the largest value.
    counts: of values in `BINS` equal parts between both.
    scale: of int8; one, or one per output channel.
    zero_point: of int8.
    clipped: share (0..1) of values that lie more than half a step outside of what int8 can say.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    scale: tuple[float, ...]
    zero_point: int
    clipped: float

    def edges(self) -> list[float]:
        """Return the ends of the parts."""
        return [float(e) for e in np.histogram_bin_edges(np.empty(0), BINS, (self.low, self.high))]


@dataclass(frozen=True)
class TensorSpread:
    """One int8 tensor.

    Attributes:
        layer: the module that makes it; followed by the operator where the module makes several.
        op: what makes it: `conv2d`, or `conv2d+relu` where a ReLU is part of it.
        shape: of one image's.
        sqnr_db: power of the float values over that of the error, 999 without error; None for the input.
        activation: its float values.
        weight: the float weights of the layer that makes it, if it has any.
    """

    layer: str
    op: str
    shape: tuple[int, ...]
    sqnr_db: float | None
    activation: Spread
    weight: Spread | None


@dataclass(frozen=True)
class _Match:
    """A tensor of both graphs: the node that makes it in float, and the one that rounds it."""

    layer: str
    op: str
    real: fx.Node
    rounding: fx.Node
    weight: tuple[fx.Node, fx.Node] | None
    """The float weight, and the scales of the int8 one."""

    @property
    def params(self) -> tuple[float, int]:
        """Return (scale, zero point)."""
        return float(self.rounding.args[1]), int(self.rounding.args[2])  # type: ignore[arg-type]


@dataclass
class _Tally:
    """What is added up over the images."""

    shape: tuple[int, ...] = ()
    low: float = math.inf
    high: float = -math.inf
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    values: int = 0
    outside: int = 0
    signal: float = 0.0
    noise: float = 0.0


def measure_spreads(
    network: nn.Module, graph: fx.GraphModule, images: Images, preprocess: Preprocess, context: Context
) -> list[TensorSpread]:
    """Return every tensor that the float network and its int8 graph both have, in the graph's order.

    At most `MOST_IMAGES` images are looked at, the first ones. `network` is the module, or the graph that `capture`
    made of it. One that has roundings itself is no float network: nothing is compared with it.
    """
    if len(images) == 0:
        return []
    floating = _float_graph(network, preprocess, images)
    if floating is None:
        return []
    matches = _matches(floating, graph)
    tallies = {m: _Tally() for m in matches}
    seen = range(min(len(images), MOST_IMAGES))

    def inputs() -> Iterator[Tensor]:
        for x, _ in batches(images, preprocess, batch_size=_BATCH, indices=seen):
            yield x.clone(memory_format=torch.contiguous_format)  # see runtimes.torch_runner

    with context.progress("ranges and errors by layer", 2 * len(seen)) as advance:
        for x in inputs():
            _find_ends(floating, x, tallies)
            advance(len(x), "")
        tallies = {m: t for m, t in tallies.items() if math.isfinite(t.high - t.low)}  # inf is in no histogram
        for x in inputs():
            _count(floating, graph, x, tallies)
            advance(len(x), "")
    return _named_apart([_told(floating, graph, match, tally) for match, tally in tallies.items()])


def _float_graph(network: nn.Module, preprocess: Preprocess, images: Images) -> fx.GraphModule | None:
    """Return what was quantized: the float graph after the passes on the way to int8."""
    few = range(min(len(images), MOST_SAMPLES))
    seen = proof_samples([x for x, _ in batches(images, preprocess, batch_size=1, indices=few)])
    captured = isinstance(network, fx.GraphModule) and all(n.op != "call_module" for n in network.graph.nodes)
    if not captured:
        return run_passes(capture(network, preprocess, seen), INT8_PASSES, seen)
    assert isinstance(network, fx.GraphModule)
    return None if activation_nodes(network.graph) else run_passes(network, INT8_PASSES, seen)


def _matches(floating: fx.GraphModule, graph: fx.GraphModule) -> list[_Match]:
    known = _pairs(floating.graph, graph.graph)
    weights = {n: _argument(_argument(_argument(n, 1), 0), 1) for n in layer_nodes(graph.graph)}
    found = []
    for rounding in activation_nodes(graph.graph):
        source = rounding.all_input_nodes[0]
        rule = rule_of(source)
        if source not in known or _shape(source) != _shape(known[source]):
            continue
        if rule is not None and rule.litert in _MOVES:
            continue
        parts = _parts(source)
        weight = None
        if parts and parts[0] in weights and parts[0] in known:
            weight = (_argument(known[parts[0]], 1), weights[parts[0]])
        op = "+".join(_op(n) for n in parts) or "input"
        found.append(_Match(_path(parts[0]) if parts else "input", op, known[source], rounding, weight))
    return found


def _named_apart(found: list[TensorSpread]) -> list[TensorSpread]:
    """Add the operator to names that several have, and a number where that is not enough."""
    names, turns = Counter(one.layer for one in found), Counter[str]()
    apart = []
    for one in found:
        name = one.layer if names[one.layer] == 1 else f"{one.layer} ({one.op})"
        turns[name] += 1
        apart.append(replace(one, layer=name if turns[name] == 1 else f"{name} {turns[name]}"))
    return apart


def _pairs(floating: fx.Graph, graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Return the node of the float graph for each of the int8 graph's, roundings left out."""
    theirs, ours = _computing(floating), _computing(graph)
    inputs = zip(_inputs(graph), _inputs(floating), strict=False)
    if [n.target for n in theirs] == [n.target for n in ours]:
        return {**dict(inputs), **dict(zip(ours, theirs, strict=True))}
    places = {place: node for node, place in _places(theirs)}
    return {**dict(inputs), **{node: places[place] for node, place in _places(ours) if place in places}}


def _computing(graph: fx.Graph) -> list[fx.Node]:
    """Return the nodes that compute a tensor, in order, but for roundings."""
    calls = [n for n in graph.nodes if n.op == "call_function" and hasattr(n.target, "overloadpacket")]
    return [n for n in calls if n.target.namespace != _ROUNDINGS and _op(n) != "sym_size"]


def _inputs(graph: fx.Graph) -> list[fx.Node]:
    return [n for n in graph.nodes if n.op == "placeholder"]


def _places(nodes: Iterable[fx.Node]) -> Iterator[tuple[fx.Node, tuple[str, str, int]]]:
    """Yield each node with its module, its operator, and the how-manieth of that operator it is in there."""
    turns: Counter[tuple[str, str]] = Counter()
    for node in nodes:
        place = (_path(node), _op(node))
        yield node, (*place, turns[place])
        turns[place] += 1


def _parts(source: fx.Node) -> list[fx.Node]:
    """Return the operators that make a tensor as one: a layer and the ReLU that joins it, or one, or none (input)."""
    if source.op != "call_function":
        return []
    before = source.all_input_nodes[0]
    joined = before.op == "call_function" and before.target.namespace != _ROUNDINGS  # type: ignore[union-attr]
    return [before, source] if joined and len(source.all_input_nodes) == 1 else [source]


def _path(node: fx.Node) -> str:
    """Return the module that a node comes from; the node's own name where it stands in the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack and stack[-1][0] else node.name


def _shape(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of one image's tensor."""
    return tuple(node.meta["val"].shape[1:])


def _op(node: fx.Node) -> str:
    return str(node.target.overloadpacket.__name__)  # type: ignore[union-attr]


def _argument(node: Any, position: int) -> fx.Node:
    found = node.args[position]
    assert isinstance(found, fx.Node)
    return found


def _run(gm: fx.GraphModule, x: Tensor, wanted: Collection[fx.Node], see: Callable[[fx.Node, Tensor], None]) -> None:
    """Run the graph and show the values of the wanted nodes; none is kept."""

    class _Shown(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if n in wanted:
                see(n, value)
            return value

    with torch.no_grad():
        _Shown(gm).run(x)


def _find_ends(floating: fx.GraphModule, x: Tensor, tallies: dict[_Match, _Tally]) -> None:
    by_node: dict[fx.Node, list[_Tally]] = {}
    for match, tally in tallies.items():
        by_node.setdefault(match.real, []).append(tally)

    def see(node: fx.Node, value: Tensor) -> None:
        for tally in by_node[node]:
            tally.shape = tuple(value.shape[1:])
            tally.low, tally.high = min(tally.low, float(value.min())), max(tally.high, float(value.max()))

    _run(floating, x, by_node.keys(), see)


def _count(floating: fx.GraphModule, graph: fx.GraphModule, x: Tensor, tallies: dict[_Match, _Tally]) -> None:
    """Add one batch up: the values by their parts, those outside of int8, and the power of the error."""
    real: dict[fx.Node, Tensor] = {}
    _run(floating, x, {m.real for m in tallies}, real.__setitem__)
    by_node = {m.rounding: (m, tally) for m, tally in tallies.items()}

    def see(node: fx.Node, integers: Tensor) -> None:
        match, tally = by_node[node]
        value, (scale, zero_point) = real[match.real].double(), match.params
        low, high = _ends(scale, zero_point)
        tally.counts += _histogram(value, tally.low, tally.high)
        tally.values += value.numel()
        tally.outside += int(((value < low - scale / 2) | (value > high + scale / 2)).sum())
        tally.signal += float(value.square().sum())
        tally.noise += float((value - (integers.double() - zero_point) * scale).square().sum())

    _run(graph, x, by_node.keys(), see)


def _ends(scale: float, zero_point: int) -> tuple[float, float]:
    """Return the smallest and the largest number that int8 can say."""
    return scale * (ACT_QMIN - zero_point), scale * (ACT_QMAX - zero_point)


def _histogram(values: Tensor, low: float, high: float) -> NDArray[np.int64]:
    return np.histogram(values.numpy(), BINS, (low, high))[0]


def _told(floating: fx.GraphModule, graph: fx.GraphModule, match: _Match, tally: _Tally) -> TensorSpread:
    scale, zero_point = match.params
    counts = tuple(int(c) for c in tally.counts)
    activation = Spread(tally.low, tally.high, counts, (scale,), zero_point, tally.outside / tally.values)
    weight = None if match.weight is None else _weight_spread(floating, graph, *match.weight)
    sqnr = None if match.op == "input" else _decibels(tally.signal, tally.noise)
    return TensorSpread(match.layer, match.op, tally.shape, sqnr, activation, weight)


def _weight_spread(floating: fx.GraphModule, graph: fx.GraphModule, real: fx.Node, scales: fx.Node) -> Spread:
    """Return how the float weight is spread, against the scales of the int8 one."""
    weight, scale = constant(floating, real).detach().double(), constant(graph, scales).double()
    low, high = float(weight.min()), float(weight.max())
    steps = (weight / scale.view(-1, *[1] * (weight.ndim - 1))).abs()
    counts = tuple(int(c) for c in _histogram(weight, low, high))
    outside = float((steps > ACT_QMAX + 0.5).double().mean())
    return Spread(low, high, counts, tuple(float(s) for s in scale), 0, outside)


def _decibels(signal: float, noise: float) -> float:
    """Return the ratio in dB, 999 where there is no error."""
    return _MOST_DB if noise == 0 else min(10 * math.log10(max(signal, 1e-300) / noise), _MOST_DB)
