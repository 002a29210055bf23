"""Instructions of each layer of a TFLite file: of the file cut off after it, less those of the cut before.

They sum up to those of the file. What a single inference costs by itself, a few thousand, is in the first layer's.

The file is counted cut off after each of its parts, and each part by itself after each of its layers: many cuts of the
whole file would be run in vain through the same layers. What a part costs more by itself cancels out.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from attendc.arm.cores import Core
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.arm.measure.cut import Cuttable
from attendc.arm.measure.measured import Layer
from attendc.arm.ops import Op
from attendc.context import Context

__all__ = ["count_layers", "macs_of"]

_ROOM = 256 << 20
"""Bytes of cuts that lie on the disk at once; what is more is counted by a further process."""


@dataclass(frozen=True)
class _Cut:
    """The layers from `first` to before `end`."""

    first: int
    end: int


@dataclass(frozen=True)
class _Point:
    """A place between two layers.

    Attributes:
        layers: how many stand before it.
        called: instructions of those.
        partitions: of those.
    """

    layers: int
    called: int
    partitions: int


def count_layers(file: Path, core: Core, context: Context) -> tuple[Answer, tuple[Layer, ...], tuple[str, ...]]:
    """Return the answer to the whole file, its layers, and notes on those that could not be told apart.

    Layers are joined where the first alone costs more than both, or has more partitions: cut off between them, the
    runtime does something that it does not do in the network. An answer with an error has no layers.

    Raises:
        ConversionError: if a cut brings the runtime down.
    """
    cuttable = Cuttable(file)
    answers, whole = _answers(cuttable, file, core, context)
    if whole.instructions is None or whole.called is None:
        return whole, (), ()
    points = _sound(_points(cuttable, answers, whole, whole.called - whole.instructions))
    layers = tuple(_layer(cuttable, a, b) for a, b in pairwise(points))
    notes = tuple(f"{layer.name} is {layer.kind}, counted together" for layer in layers if " + " in layer.kind)
    return whole, layers, notes


def _points(cuttable: Cuttable, answers: Mapping[_Cut, Answer], whole: Answer, call: int) -> list[_Point]:
    """Return the places where the file was cut, in order; `call` is what Python adds to a count."""
    found = [_Point(0, call, 0)]
    for first, end in cuttable.parts():
        at_end = answers.get(_Cut(0, end), whole)
        for inner in range(first + 1, end):
            of_part = answers[_Cut(first, end)] if first else at_end
            point = _before(at_end, of_part, answers[_Cut(first, inner)], inner)
            found += [] if point is None else [point]
        if at_end.called is not None:
            found.append(_Point(end, at_end.called, at_end.partitions or 0))
    return found


def _before(at_end: Answer, of_part: Answer, cut: Answer, layers: int) -> _Point | None:
    """Return the place from which a part goes on to its end; None where the runtime refused one of the cuts."""
    if at_end.called is None or of_part.called is None or cut.called is None:
        return None
    partitions = (at_end.partitions or 0) - (of_part.partitions or 0) + (cut.partitions or 0)
    return _Point(layers, at_end.called - (of_part.called - cut.called), partitions)


def _answers(cuttable: Cuttable, file: Path, core: Core, context: Context) -> tuple[dict[_Cut, Answer], Answer]:
    """Return the answer to each cut that leaves something off, and to the file."""
    count = len(cuttable.layers)
    parts = cuttable.parts()
    ends = [_Cut(0, end) for _, end in parts]
    inner = [_Cut(first, end) for first, last in parts if last - first > 1 for end in range(first + 1, last + 1)]
    wanted = [cut for cut in dict.fromkeys((*inner, *ends)) if cut != _Cut(0, count)]
    found: dict[_Cut, Answer] = {}
    while True:
        with tempfile.TemporaryDirectory(prefix="attendc-cuts-") as name:
            written = _write(cuttable, Path(name) / file.stem, wanted[len(found) :])
            tasks = [Task("count", path, brief=True) for path in written.values()]
            is_last = len(found) + len(tasks) == len(wanted)
            told = emulate(core, [*tasks, *([Task("count", file)] if is_last else [])], context=context)
            found |= zip(written, told, strict=False)
            if is_last:
                return found, told[-1]


def _write(cuttable: Cuttable, stem: Path, cuts: Sequence[_Cut]) -> dict[_Cut, Path]:
    """Write cuts as far as there is room, at least one."""
    written: dict[_Cut, Path] = {}
    room = _ROOM
    for cut in cuts:
        written[cut] = stem.with_name(f"{stem.name}_layers_{cut.first + 1}_to_{cut.end}.tflite")
        cuttable.write(written[cut], cut.end, first=cut.first)
        room -= written[cut].stat().st_size
        if room < 0:
            break
    return written


def _sound(points: Sequence[_Point]) -> list[_Point]:
    """Return the points without those that cost more than one after them."""
    kept: list[_Point] = []
    for point in points:
        while len(kept) > 1 and (kept[-1].called > point.called or kept[-1].partitions > point.partitions):
            kept.pop()
        kept.append(point)
    return kept


def _layer(cuttable: Cuttable, before: _Point, after: _Point) -> Layer:
    ops = cuttable.layers[before.layers : after.layers]
    return Layer(
        ops[-1].name,
        " + ".join(op.kind for op in ops),
        cuttable.shape(ops[-1]),
        after.called - before.called,
        macs_of(ops),
        tuple(sorted(index for op in ops for index in op.index)),
    )


def macs_of(ops: Sequence[Op]) -> Counter[str]:
    """Return dtype -> multiply-accumulates of one inference, of those that have any."""
    found: Counter[str] = Counter()
    for op in ops:
        found[op.dtype] += op.macs
    return +found
