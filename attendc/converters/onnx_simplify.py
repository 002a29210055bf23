"""Simplification of ONNX models that proves itself: by onnxsim, then by passes of onnx_ir, and compared in onnxruntime.

What fails or computes something else is left out, and the reason is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attendc.converters.onnx_equal import Feed, difference, made_up_feeds
from attendc.converters.onnxsim_process import Limits, run_onnxsim
from attendc.converters.read_onnx import external_files, load_onnx
from attendc.errors import ConversionError
from attendc.files import replace_file

if TYPE_CHECKING:
    import onnx

__all__ = ["Limits", "Simplification", "Simplified", "simplify_onnx", "simplify_onnx_file"]


@dataclass(frozen=True)
class Simplification:
    """A model after simplification, and a sentence on each thing that was left out."""

    model: onnx.ModelProto
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Simplified:
    """What simplifying a file changed.

    Attributes:
        before: operator -> how often it stood in the source.
        after: the same of the target.
        nodes_before: sum of `before`.
        nodes_after: sum of `after`.
        bytes_before: size of the source, with its external data.
        bytes_after: size of the target.
        changed: False where the target is the source, byte by byte.
        notes: what was left out, and why.
    """

    before: dict[str, int]
    after: dict[str, int]
    nodes_before: int
    nodes_after: int
    bytes_before: int
    bytes_after: int
    changed: bool
    notes: tuple[str, ...]


def simplify_onnx(
    model: onnx.ModelProto,
    *,
    samples: Sequence[Feed] = (),
    limits: Limits | None = None,
    seed: int = 0,
) -> Simplification:
    """Return the model simplified as far as it computes the same; `model` itself is not changed.

    1. onnxsim, in a process of its own.
    2. Of its result, or of the model where that fails: constants become initializers, each stored once; what nothing
       reads is dropped.
    3. Of these two and the model itself, in this order, the first whose outputs are the model's is returned.

    Args:
        model: any valid ONNX model.
        samples: inputs to compare on; none: zeros and random numbers.
        limits: of onnxsim's process.
        seed: of the random numbers.
    """
    try:
        feeds = list(samples) or made_up_feeds(model, seed=seed)
    except ConversionError as e:
        return Simplification(model, (f"the model was not simplified, since it cannot be compared: {e}",))
    notes = []
    for name, make in (("onnxsim", _by_onnxsim), ("onnx_ir", _cleaned)):
        try:
            made = make(model, limits or Limits())
            fault = difference(model, made, feeds)
        except ConversionError as e:
            notes.append(f"{name} failed and was left out: {e}")
            continue
        if not fault:
            return Simplification(made, tuple(notes))
        notes.append(f"{name} changed the results and was left out: {fault}")
    return Simplification(model, tuple(notes))


def simplify_onnx_file(
    source: Path,
    target: Path,
    *,
    samples: Sequence[Feed] = (),
    limits: Limits | None = None,
    seed: int = 0,
) -> Simplified:
    """Write `source`, simplified as `simplify_onnx` does, to `target`; external data is taken into the file.

    Raises:
        CheckpointError: if `source` is no readable ONNX file.
        OutputError: if `target` cannot be written.
    """
    model = load_onnx(source)
    with_data = external_files(source)
    bytes_before = source.stat().st_size + sum(f.stat().st_size for f in with_data)
    done = simplify_onnx(model, samples=samples, limits=limits, seed=seed)
    before, after = _ops(model), _ops(done.model)
    content = done.model.SerializeToString(deterministic=True)
    if before == after and len(content) >= bytes_before and not with_data:
        content = source.read_bytes()
    changed = bool(with_data) or content != source.read_bytes()
    with replace_file(target) as beside:
        beside.write_bytes(content)
    sizes = (sum(before.values()), sum(after.values()), bytes_before, len(content))
    return Simplified(before, after, *sizes, changed, done.notes)


def _ops(model: onnx.ModelProto) -> dict[str, int]:
    """Count the operators, those in branches, loops and functions too."""
    found: Counter[str] = Counter()
    pending = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    while pending:
        node = pending.pop()
        found[node.op_type] += 1
        for attribute in node.attribute:
            pending += [n for g in (attribute.g, *attribute.graphs) for n in g.node]
    return dict(sorted(found.items()))


def _by_onnxsim(model: onnx.ModelProto, limits: Limits) -> onnx.ModelProto:
    return _cleaned(run_onnxsim(model, limits), limits)


def _cleaned(model: onnx.ModelProto, _: Limits) -> onnx.ModelProto:
    import onnx_ir
    from onnx_ir.passes import common

    try:
        lifted: Any = onnx_ir.serde.deserialize_model(model)
        for one in (
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            common.DeduplicateInitializersPass(),
            common.RemoveUnusedNodesPass(),
        ):
            lifted = one(lifted).model
        made: onnx.ModelProto = onnx_ir.serde.serialize_model(lifted)
    except Exception as e:
        raise ConversionError(f"onnx_ir: {(str(e).strip() or type(e).__name__).splitlines()[0][:200]}") from e
    return made
