"""What a file costs in one place: instructions of an emulated core, or milliseconds of a real computer; never both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attendc.arm.cores import core_of
from attendc.arm.limits import least_instructions
from attendc.arm.measure.timing import Timing

__all__ = ["Layer", "Measured"]


@dataclass(frozen=True)
class Layer:
    """A layer and its share of the instructions.

    Attributes:
        name: of the tensor that it writes.
        kind: its operator in TFLite; of those that could not be told apart all, joined by ` + `.
        shape: of its output, in the layout of the file.
        instructions: that the network has more with it than without it.
        macs: dtype -> multiply-accumulates; empty of what is none.
        operators: of the file, by their position, in order.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    instructions: int
    macs: Mapping[str, int]
    operators: tuple[int, ...]


@dataclass(frozen=True)
class Measured:
    """Attributes:
    file: that was measured.
    place: a core, `local`, or `ssh:` and the host.
    instructions: of one inference with one thread, on an emulated core.
    partitions: parts of a TFLite file that XNNPACK runs; None of ONNX.
    operators: of a TFLite file; None of ONNX.
    macs: dtype -> multiply-accumulates of one inference; None where they are not known.
    layers: whose instructions sum up to those of the file; None where they were not asked for.
    notes: what must be known of the layers.
    timing: milliseconds of one inference, in a real place.
    """

    file: Path
    place: str
    instructions: int | None = None
    partitions: int | None = None
    operators: int | None = None
    macs: Mapping[str, int] | None = field(default=None)
    layers: tuple[Layer, ...] | None = None
    notes: tuple[str, ...] = ()
    timing: Timing | None = None

    @property
    def all_macs(self) -> int | None:
        """Return the multiply-accumulates of all dtypes."""
        return None if self.macs is None else sum(self.macs.values())

    @property
    def macs_per_instruction(self) -> float | None:
        """Return how many one instruction does, over all that are executed."""
        if self.instructions is None or self.macs is None:
            return None
        return sum(self.macs.values()) / self.instructions

    @property
    def share_of_limit(self) -> float | None:
        """Return the instructions of a network that multiplies only, at the core's best, by those executed (0..1)."""
        if self.instructions is None or self.macs is None:
            return None
        return least_instructions(self.macs, core_of(self.place)) / self.instructions

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `attendc bench --json`: with `instructions` and `partitions`, or with `milliseconds`."""
        told: dict[str, Any] = {"file": str(self.file), "core": self.place}
        if self.timing is not None:
            rest = dataclasses.asdict(self.timing)
            names = {"median_ms": "milliseconds", "low_ms": "low", "high_ms": "high"}
            return told | {names.get(key, key): value for key, value in rest.items()}
        told |= {
            "instructions": self.instructions,
            "partitions": self.partitions,
            "operators": self.operators,
            "macs": self.all_macs,
            "macs_per_instruction": self.macs_per_instruction,
            "share_of_limit": self.share_of_limit,
        }
        if self.layers is not None:
            told |= {"layers": [_layer_json(layer) for layer in self.layers], "notes": list(self.notes)}
        return told


def _layer_json(layer: Layer) -> dict[str, Any]:
    macs = sum(layer.macs.values())
    each = macs / layer.instructions if macs and layer.instructions else None
    return {**dataclasses.asdict(layer), "macs": macs, "macs_per_instruction": each}
