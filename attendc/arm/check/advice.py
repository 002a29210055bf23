"""What to do about the cost of a network on ARM cores: each advice with what it would win by the cost table.

A change is told as the operators that go and those that come; its win is the difference of their costs. Where the
new ones do more work (a column widened to the tile), the win is what the same work would cost at their pace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attendc.arm.check.partitions import Fallen
from attendc.arm.cost.cost import instructions, is_measured, tile_of
from attendc.arm.ops import LAYERS, SILU, Op

__all__ = ["Advice", "advise"]

_LEAST = 0.005
"""Share of the whole that a change must win on some core to be told."""
_SAME = 0.02
_FEW_CHANNELS = 4
"""Of an input image: a kernel over so few channels leaves most of its instructions' lanes empty."""
_PATCH = 4
_MOST_STEM_LAYERS = 3
_SMALL_KERNEL, _LARGE_KERNEL = 3, 5


@dataclass(frozen=True)
class Advice:
    """Something that costs more than it must.

    Attributes:
        kind: `columns`, `stem`, `fallen`, `float`, `layout`, `mean` or `kernel`.
        layers: names of the operators that it is about.
        found: what is there, and what it costs.
        todo: what to do.
        won: core -> instructions that would be spared, an estimate by the cost table.
        share: core -> the same as a part of the whole network's instructions.
    """

    kind: str
    layers: tuple[str, ...]
    found: str
    todo: str
    won: Mapping[str, float]
    share: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "layers": list(self.layers),
            "found": self.found,
            "todo": self.todo,
            "won": {core: round(won) for core, won in self.won.items()},
            "share": {core: round(share, 4) for core, share in self.share.items()},
        }


@dataclass(frozen=True)
class _Change:
    """Operators that go and operators that come; `same_work`: those that come count for as many MACs as go."""

    kind: str
    gone: tuple[Op, ...]
    come: tuple[Op, ...]
    found: str
    todo: str
    same_work: bool = False


def advise(
    ops: Sequence[Op], fallen: Sequence[Fallen], whole: Mapping[str, float], *, averages: Collection[int] = ()
) -> list[Advice]:
    """Return what to do; what wins most on the first core comes first.

    Args:
        ops: of a network, in order.
        fallen: which of them XNNPACK leaves.
        whole: core -> instructions of the network.
        averages: positions in the file of depthwise convolutions that take the mean of what they look at.

    Raises:
        UsageError: if no core is called so.
    """
    first = next(iter(whole))
    stem = list(_stem(ops))
    rest = [op for op in ops if not any(op in change.gone for change in stem)]
    means = [op for op in rest if op.pixels == 1 and set(op.index) & set(averages)]
    finders: tuple[Iterable[_Change], ...] = (
        _columns(rest, first),
        stem,
        _replaced(ops, fallen),
        _floats(ops),
        _moved(ops),
        _means(means),
        _kernels([op for op in rest if op not in means]),
    )
    found = [advice for changes in finders for change in changes if (advice := _weighed(change, whole))]
    return sorted(found, key=lambda advice: -advice.won[first])


def _weighed(change: _Change, whole: Mapping[str, float]) -> Advice | None:
    """Return the advice with its win; None where the table does not know it, or it is too little."""
    if not all(is_measured(op) for op in (*change.gone, *change.come)):
        return None
    won = {core: _won(change, core) for core in whole}
    share = {core: won[core] / whole[core] for core in whole}
    if max(share.values()) < _LEAST:
        return None
    return Advice(change.kind, tuple(op.name for op in change.gone), change.found, change.todo, won, share)


def _won(change: _Change, core: str) -> float:
    work = [sum(op.macs for op in ops) for ops in (change.gone, change.come)]
    return _cost(change.gone, core) - _cost(change.come, core) * (work[0] / work[1] if change.same_work else 1.0)


def _cost(ops: Sequence[Op], core: str) -> float:
    return sum(instructions(op, core) for op in ops)


def _columns(ops: Sequence[Op], core: str) -> Iterator[_Change]:
    """Convolutions whose outputs in a group are no multiple of the tile, those of one size in one change."""
    alike: dict[tuple[int, ...], list[Op]] = {}
    for op in ops:
        if op.kind == "CONV_2D" and op.outputs // op.groups % tile_of(core, op.dtype).columns:
            key = (op.height, op.width, op.outputs // op.groups, int(op.groups > 1), int(op.dtype == "int8"))
            alike.setdefault(key, []).append(op)
    for (height, width, channels, grouped, _), found in alike.items():
        tile = tile_of(core, found[0].dtype).columns
        above, below = math.ceil(channels / tile) * tile, channels // tile * tile
        wide = tuple(_with_columns(op, above) for op in found)
        costs = [f"{above} cost {_compared(found, wide, core)}"]
        if below:
            costs.append(f"{below} {_compared(found, [_with_columns(op, below) for op in found], core)}")
        where = f"{_layers(found)} at {height}x{width}"
        what = f"{channels} channels a column" if grouped else f"{channels} output channels"
        todo = f"Widen to {above}" + (f", or prune to {below}" if below else ", or drop a block instead of channels")
        said = f"{where} {'has' if len(found) == 1 else 'have'} {what}: {', '.join(costs)}"
        yield _Change("columns", tuple(found), wide, said, todo, same_work=True)


def _with_columns(op: Op, channels: int) -> Op:
    """Return a convolution with so many outputs a group; columns that are square stay so."""
    inputs = channels * op.groups if op.groups > 1 and op.inputs == op.outputs else op.inputs
    return replace(op, outputs=channels * op.groups, inputs=inputs)


def _compared(before: Sequence[Op], after: Sequence[Op], core: str) -> str:
    more = _cost(after, core) / _cost(before, core) - 1
    return "the same" if abs(more) <= _SAME else f"{abs(more):.0%} {'more' if more > 0 else 'less'}"


def _stem(ops: Sequence[Op]) -> Iterator[_Change]:
    """A stem that takes the image to a quarter of its height and width: patches of 4x4 do that in one layer."""
    first = next((i for i, op in enumerate(ops) if op.kind in LAYERS), None)
    if first is None or ops[first].inputs > _FEW_CHANNELS or ops[first].kind != "CONV_2D":
        return
    image = [
        size * stride for size, stride in zip((ops[first].height, ops[first].width), ops[first].stride, strict=True)
    ]
    quarter = tuple(size // _PATCH for size in image)
    end = next((i for i, op in enumerate(ops) if (op.height, op.width) == quarter and op.pixels > 1), None)
    if end is None or any(size % _PATCH for size in image):
        return
    # What follows at that size without being a layer belongs to the last one: its activation.
    while end + 1 < len(ops) and not ops[end + 1].macs and ops[end + 1].kind not in ("ADD", "PAD"):
        end += 1
    stem = tuple(ops[first : end + 1])
    layers = [op for op in stem if op.macs]
    if len(layers) > _MOST_STEM_LAYERS or ops[first].kernel == (_PATCH, 1):
        return
    outputs = stem[-1].outputs
    patch = replace(
        ops[first],
        inputs=_PATCH * ops[first].inputs,
        outputs=outputs,
        groups=1,
        kernel=(_PATCH, 1),
        stride=(_PATCH, 1),
        height=quarter[0],
        width=quarter[1],
    )
    activation = Op(SILU, patch.dtype, outputs, outputs, height=quarter[0], width=quarter[1])
    yield _Change(
        "stem",
        stem,
        (patch, activation),
        f"the stem of {_layers(layers)}, from {ops[first].inputs} channels, makes {quarter[0]}x{quarter[1]}",
        "Patches of 4x4: RESHAPE to [1, H, W/4, 4C], then one convolution of 4x1 (stem=patch); train it anew",
    )


def _replaced(ops: Sequence[Op], fallen: Sequence[Fallen]) -> Iterator[_Change]:
    """Operators that XNNPACK leaves, and does not leave in another form."""
    by_index = {index: op for op in ops for index in op.index}
    alike: dict[tuple[str, str], list[tuple[Fallen, Op]]] = {}
    for one in fallen:
        if one.index in by_index and one.operator in _INSTEAD:
            alike.setdefault((one.operator, one.advice), []).append((one, by_index[one.index]))
    for (operator, advice), found in alike.items():
        gone = tuple(op for _, op in found)
        come = () if found[0][0].at_end else tuple(new for op in gone for new in _INSTEAD[operator](op))
        reason = found[0][0].reason
        yield _Change("fallen", gone, come, f"{len(gone)} {operator}: {reason}", advice)


def _depthwise(op: Op) -> Op:
    return replace(op, kind="DEPTHWISE_CONV_2D", groups=op.inputs)


_INSTEAD: Mapping[str, Callable[[Op], tuple[Op, ...]]] = {
    "HARD_SWISH": lambda op: (replace(op, kind=SILU),),
    "GELU": lambda op: (replace(op, kind=SILU),),
    "SOFTMAX": lambda op: (replace(op, kind="LOGISTIC"),),
    "AVERAGE_POOL_2D": lambda op: (_depthwise(op),),
    "SQUEEZE": lambda op: (replace(op, kind="RESHAPE"),),
    "EXPAND_DIMS": lambda op: (replace(op, kind="RESHAPE"),),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1"), lambda op: ()),
}
"""Fallen operator -> what its advice puts in its place."""


def _floats(ops: Sequence[Op]) -> Iterator[_Change]:
    """Layers in float32: all of a float file, or what int8 left out."""
    found = tuple(op for op in ops if op.dtype in ("float32", "dynamic"))
    if not any(op.macs for op in found):
        return
    come = tuple(replace(op, dtype="int8") for op in found)
    if any(op.macs for op in ops if op.dtype == "int8"):
        layers = [op for op in found if op.macs]
        said = f"{_layers(layers)} {'computes' if len(layers) == 1 else 'compute'} in float32 in a file of int8"
        yield _Change("float", found, come, said, "Quantize these too")
    else:
        kind = "float32" if all(op.dtype == "float32" for op in found if op.macs) else "dynamic int8"
        yield _Change("float", found, come, f"the network computes in {kind}", "Quantize it: attendc quantize --int8")


_MOVES = {
    "TRANSPOSE": "Take and give channels last, so that nothing is to be turned",
    "PAD": "Let the convolution pad: a PAD that only one convolution reads costs nothing",
    "QUANTIZE": "Give what is joined one scale; at the input take int8 (--io int8)",
    "DEQUANTIZE": "Give out int8 (--io int8)",
}
"""Operators that compute nothing, and how to be rid of them."""


def _moved(ops: Sequence[Op]) -> Iterator[_Change]:
    """Operators that move or convert numbers and compute nothing."""
    for kind, todo in _MOVES.items():
        found = tuple(op for op in ops if op.kind == kind)
        if found:
            yield _Change("layout", found, (), f"{len(found)} {kind}", todo)


def _means(ops: Sequence[Op]) -> Iterator[_Change]:
    """Means of a whole image that a depthwise convolution takes."""
    if ops:
        come = tuple(replace(op, kind="MEAN", groups=1, stride=(1, 1)) for op in ops)
        said = f"{_layers(ops)} of depthwise {_sizes(ops)} {'takes' if len(ops) == 1 else 'take'} the mean of an image"
        yield _Change("mean", tuple(ops), come, said, "MEAN in int8 computes that and is taken")


def _sizes(ops: Sequence[Op]) -> str:
    return ", ".join(dict.fromkeys("x".join(map(str, op.kernel)) for op in ops))


def _kernels(ops: Sequence[Op]) -> Iterator[_Change]:
    """Depthwise convolutions with large kernels: XNNPACK has kernels of its own for 3x3 and 5x5, and none for more."""
    alike: dict[tuple[int, int], list[Op]] = {}
    for op in ops:
        if op.kind == "DEPTHWISE_CONV_2D" and math.prod(op.kernel) > _SMALL_KERNEL**2:
            alike.setdefault(op.kernel, []).append(op)
    for (height, width), found in alike.items():
        size = _LARGE_KERNEL if height * width > _LARGE_KERNEL**2 else _SMALL_KERNEL
        come = tuple(replace(op, kernel=(size, size)) for op in found)
        said = f"{_layers(found)} of depthwise {height}x{width}"
        none = ", for which XNNPACK has no kernel of its own" if size == _LARGE_KERNEL else ""
        todo = f"{size}x{size} in {'its' if len(found) == 1 else 'their'} place, where accuracy allows; train it anew"
        yield _Change("kernel", tuple(found), come, said + none, todo)


def _layers(ops: Sequence[Op]) -> str:
    return f"{len(ops)} layer{'' if len(ops) == 1 else 's'}"
