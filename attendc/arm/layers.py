"""Instructions of each layer of a TFLite file: of the file cut off after it, less those of the cut before.

They sum up to those of the file. What a single inference costs by itself, a few thousand, is in the first layer's.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from attendc.arm.cores import Core
from attendc.arm.cut import Cuttable
from attendc.arm.emulator import Answer, Task, emulate
from attendc.arm.measured import Layer
from attendc.arm.ops import Op
from attendc.context import Context

__all__ = ["count_layers", "macs_of"]

_ROOM = 256 << 20
"""Bytes of cuts that lie on the disk at once; what is more is counted by a further process."""


@dataclass(frozen=True)
class _Point:
    """A place where the file was cut.

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
    *cuts, whole = _answers(cuttable, file, core, context)
    if whole.instructions is None or whole.called is None:
        return whole, (), ()
    first = _Point(0, whole.called - whole.instructions, 0)
    cut = [_Point(count, a.called, a.partitions or 0) for count, a in enumerate(cuts, 1) if a.called is not None]
    last = _Point(len(cuttable.layers), whole.called, whole.partitions or 0)
    points = _sound([first, *cut, last])
    layers = tuple(_layer(cuttable, a, b) for a, b in pairwise(points))
    notes = tuple(f"{layer.name} is {layer.kind}, counted together" for layer in layers if " + " in layer.kind)
    return whole, layers, notes


def _answers(cuttable: Cuttable, file: Path, core: Core, context: Context) -> list[Answer]:
    """Return the answer to each cut that leaves something off, and to the file."""
    found: list[Answer] = []
    last = len(cuttable.layers) - 1
    while True:
        with tempfile.TemporaryDirectory(prefix="attendc-cuts-") as name:
            tasks = _cuts(cuttable, Path(name) / file.stem, range(len(found) + 1, last + 1))
            if len(found) + len(tasks) < last:
                found += emulate(core, tasks, context=context)
            else:
                return [*found, *emulate(core, [*tasks, Task("count", file)], context=context)]


def _cuts(cuttable: Cuttable, stem: Path, counts: range) -> list[Task]:
    """Write cuts as far as there is room, at least one."""
    tasks: list[Task] = []
    room = _ROOM
    for count in counts:
        path = stem.with_name(f"{stem.name}_first_{count}_layers.tflite")
        cuttable.write(path, count)
        tasks.append(Task("count", path, brief=True))
        room -= path.stat().st_size
        if room < 0:
            break
    return tasks


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
