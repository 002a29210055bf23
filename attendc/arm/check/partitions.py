"""What XNNPACK takes of a TFLite file, as the runtime itself decides it, and why it leaves the rest.

The host's LiteRT is asked: which operators its delegate takes does not depend on the processor, so that the partitions
of an x86 host are those of an ARM board with the same version of LiteRT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attendc.arm.check.reasons import why
from attendc.converters.damage import names_damage
from attendc.converters.tflite_schema import op_name, quantized_layers, read_model
from attendc.errors import CheckpointError
from attendc.reason import reason_of
from attendc.tflite_check import check_tflite

__all__ = ["Fallen", "Partitions", "partitions_of"]

_DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class Fallen:
    """An operator that LiteRT's own kernels run.

    Attributes:
        index: of the operator in the file.
        operator: as `SOFTMAX`.
        reason: why XNNPACK does not take it, in one sentence.
        advice: what to do about it; empty where nothing is known.
        name: of the tensor that it writes.
        at_end: whether the file gives out what it writes.
    """

    index: int
    operator: str
    reason: str
    advice: str
    name: str = ""
    at_end: bool = False


@dataclass(frozen=True)
class Partitions:
    """What XNNPACK takes.

    Attributes:
        count: its parts of the file; 0 where it takes nothing.
        operators: of the file.
        taken: of each part, the indices of its operators in order.
        fallen: the others, in order.
    """

    count: int
    operators: int
    taken: tuple[tuple[int, ...], ...]
    fallen: tuple[Fallen, ...]


@names_damage
def partitions_of(path: Path) -> Partitions:
    """Load a file in the host's LiteRT with its default delegate, and tell what that took.

    Raises:
        CheckpointError: if it is no TFLite file, a damaged one, or one that the runtime refuses.
    """
    check_tflite(path)
    nodes = _nodes(path)
    taken = _taken(nodes)
    inside = {index for part in taken for index in part}
    model = read_model(path)
    graph = model.subgraphs[0]
    fallen = []
    for index, operator in enumerate(graph.operators):
        if index not in inside:
            name = bytes(graph.tensors[operator.outputs[0]].name or b"").decode(errors="replace")
            at_end = int(operator.outputs[0]) in map(int, graph.outputs)
            fallen.append(Fallen(index, op_name(model, operator), *why(model, operator), name, at_end))
    return Partitions(len(taken), len(graph.operators), taken, tuple(fallen))


def _nodes(path: Path) -> list[dict[str, Any]]:
    """Return the nodes of the loaded graph: the file's operators in their order, and behind them the delegate's."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter: Any = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as e:
        raise CheckpointError(f"the TFLite runtime refuses {path}: {reason_of(e)}", hint=_hint(path)) from e
    nodes: list[dict[str, Any]] = interpreter._get_ops_details()
    return nodes


def _hint(path: Path) -> str:
    """Return what to do about a file that the runtime refuses; it does so over most weights that are off 0."""
    model = read_model(path)
    for operator, index in quantized_layers(model):
        zeros = model.subgraphs[0].tensors[index].quantization.zeroPoint
        if zeros is not None and any(zeros):
            return f"A weight of {op_name(model, operator)} is not quantized about 0: force its zero point to 0"
    return "Convert it again"


def _taken(nodes: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, ...], ...]:
    """Return the operators of each part: all that is computed between what the delegate's node reads and writes."""
    writer = {int(t): i for i, node in enumerate(nodes) if node["op_name"] != _DELEGATE for t in node["outputs"]}
    parts = []
    for node in nodes:
        if node["op_name"] == _DELEGATE:
            given, wanted, part = set(map(int, node["inputs"])), list(map(int, node["outputs"])), set()
            while wanted:
                tensor = wanted.pop()
                if tensor not in given and tensor in writer and writer[tensor] not in part:
                    part.add(writer[tensor])
                    wanted += [int(t) for t in nodes[writer[tensor]]["inputs"] if t >= 0]
            parts.append(tuple(sorted(part)))
    return tuple(parts)
