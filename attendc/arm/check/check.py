"""What a TFLite file will cost on ARM cores, before any is at hand: by the host's runtime and the cost table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attendc.arm.check.advice import Advice, advise
from attendc.arm.check.conditions import MEASURES, Condition
from attendc.arm.check.partitions import Partitions, partitions_of
from attendc.arm.cores import core_of
from attendc.arm.cost.cost import instructions, is_measured, overhead
from attendc.arm.limits import least_instructions
from attendc.arm.ops import Op, ops_of_model
from attendc.converters.damage import names_damage
from attendc.converters.tflite_schema import constant, op_name, read_model, type_name

__all__ = ["Checked", "CheckedLayer", "broken", "check_file"]

_WORDS = {"macs": "MACs", "fallen": "operators outside of XNNPACK"}
_DTYPES: Mapping[str, type[np.generic]] = {"INT8": np.int8, "FLOAT32": np.float32}


@dataclass(frozen=True)
class CheckedLayer:
    """An operator, or several that the runtime makes one of.

    Attributes:
        op: what it is.
        part: which of XNNPACK's parts it is in, from 1; None where LiteRT's own kernels run it.
        instructions: core -> what one inference spends in it, by the cost table.
        is_measured: whether the table knows such operators; else the cost is that of LiteRT's own, by elements.
    """

    op: Op
    part: int | None
    instructions: Mapping[str, float]
    is_measured: bool

    def as_json(self, whole: Mapping[str, float]) -> dict[str, Any]:
        """Return plain values; `whole` is core -> instructions of the network."""
        op = self.op
        return {
            "name": op.name,
            "operator": op.kind,
            "dtype": op.dtype,
            "output": [op.height, op.width, op.outputs],
            "inputs": op.inputs,
            "groups": op.groups,
            "kernel": list(op.kernel),
            "stride": list(op.stride),
            "operators": list(op.index),
            "partition": self.part,
            "macs": op.macs,
            "measured": self.is_measured,
            "cores": {
                core: {
                    "instructions": round(cost),
                    "share": round(cost / whole[core], 5),
                    "macs_per_instruction": round(op.macs / cost, 3) if op.macs else None,
                }
                for core, cost in self.instructions.items()
            },
        }


@dataclass(frozen=True)
class Checked:
    """What is known of a file.

    Attributes:
        file: that was checked.
        size: in bytes.
        partitions: what XNNPACK takes of it.
        layers: in the order of the file.
        instructions: core -> expected for one inference with one thread.
        overhead: core -> of them what belongs to no layer: calling the runtime and each part.
        advice: what wins most first.
    """

    file: Path
    size: int
    partitions: Partitions
    layers: tuple[CheckedLayer, ...]
    instructions: Mapping[str, float]
    overhead: Mapping[str, float]
    advice: tuple[Advice, ...]

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of one inference."""
        return sum(layer.op.macs for layer in self.layers)

    @property
    def unmeasured(self) -> dict[str, int]:
        """Return the kinds of operators that the cost table does not know, with how many there are."""
        kinds = [f"{layer.op.kind} {layer.op.dtype}" for layer in self.layers if not layer.is_measured]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    def measures(self, core: str) -> dict[str, float]:
        """Return MEASURES -> its value."""
        fallen = len(self.partitions.fallen)
        values = (self.instructions[core], self.partitions.count, fallen, self.macs, self.size)
        return dict(zip(MEASURES, values, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `attendc check --json`."""
        macs: dict[str, int] = {}
        for layer in self.layers:
            macs[layer.op.dtype] = macs.get(layer.op.dtype, 0) + layer.op.macs
        return {
            "file": str(self.file),
            "bytes": self.size,
            "macs": self.macs,
            "operators": self.partitions.operators,
            "partitions": self.partitions.count,
            "cores": {
                core: {
                    "instructions": round(cost),
                    "overhead": round(self.overhead[core]),
                    "macs_per_instruction": round(self.macs / cost, 3),
                    "share_of_limit": round(least_instructions(macs, core_of(core)) / cost, 4),
                }
                for core, cost in self.instructions.items()
            },
            "fallen": [
                {"index": f.index, "operator": f.operator, "name": f.name, "reason": f.reason, "advice": f.advice}
                for f in self.partitions.fallen
            ],
            "unmeasured": self.unmeasured,
            "advice": [advice.as_json() for advice in self.advice],
            "layers": [layer.as_json(self.instructions) for layer in self.layers],
        }


def check_file(path: Path, cores: Sequence[str]) -> Checked:
    """Check a TFLite file for cores.

    Raises:
        CheckpointError: if it is no TFLite file, a damaged one, or one that the runtime refuses.
        UsageError: if no core is called so.
    """
    names = [core_of(core).name for core in cores]
    partitions = partitions_of(path)
    ops, averages = _operators(path)
    part_of = {index: number for number, part in enumerate(partitions.taken, 1) for index in part}
    layers = tuple(
        CheckedLayer(op, part_of.get(op.index[-1]), {c: instructions(op, c) for c in names}, is_measured(op))
        for op in ops
    )
    besides = {core: overhead(partitions.count, core) for core in names}
    whole = {core: besides[core] + sum(layer.instructions[core] for layer in layers) for core in names}
    advice = tuple(advise(ops, partitions.fallen, whole, averages=averages))
    return Checked(path, path.stat().st_size, partitions, layers, whole, besides, advice)


@names_damage
def _operators(path: Path) -> tuple[list[Op], list[int]]:
    """Return the operators of a file, and which of it are means."""
    model = read_model(path)
    return ops_of_model(model), _averages(model)


def _averages(model: Any) -> list[int]:
    """Return the positions of the depthwise convolutions whose weights are all one number."""
    graph, found = model.subgraphs[0], []
    for index, operator in enumerate(graph.operators):
        if op_name(model, operator) == "DEPTHWISE_CONV_2D":
            weight = graph.tensors[int(operator.inputs[1])]
            dtype = _DTYPES.get(type_name(weight))
            value = None if dtype is None else constant(model, weight, dtype)
            if value is not None and bool((value == value.flat[0]).all()):
                found.append(index)
    return found


def broken(checked: Checked, conditions: Sequence[Condition]) -> list[str]:
    """Return a sentence for each condition that holds."""
    sentences = []
    for one in conditions:
        for core in checked.instructions:
            value = checked.measures(core)[one.measure]
            if one.holds(value):
                on = f" on {core}" if one.measure == "instructions" else ""
                what = _WORDS.get(one.measure, one.measure)
                sentences.append(f"{checked.file} has {value:,.0f} {what}{on}: --fail-on {one.text}")
    return list(dict.fromkeys(sentences))
