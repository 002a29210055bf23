"""Whether two ONNX models compute the same in onnxruntime, on given inputs or on made-up ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attendc.errors import ConversionError
from attendc.reason import reason_of

if TYPE_CHECKING:
    import onnx

__all__ = ["Feed", "difference", "made_up_feeds"]

Feed = dict[str, NDArray[Any]]
"""An array for each input, by its name."""

_FREE_SIZES = ((2, 64), (2, 224), (2, 2), (1, 1))
"""What is tried for free dimensions: the first axis, and the others. The first that the model runs with is taken."""

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool", **{n: n for n in _INTEGERS}}
"""numpy's names of onnxruntime's types that can be made up."""


def difference(before: onnx.ModelProto, after: onnx.ModelProto, feeds: Sequence[Feed]) -> str:
    """Say how the outputs differ, as a part of a sentence; empty if they are the same.

    Floats may be apart by the square root of their type's precision, relative to the largest number of the output
    (float32: 3.5e-4); an output that is dequantized, by one step of its scale. Integers must be equal.

    Raises:
        ConversionError: if `before` does not run, so that nothing can be said.
    """
    steps = {o.name: _step(before, o.name) for o in before.graph.output}
    first = _session(before)
    expected = [_run(first, feed) for feed in feeds]
    try:
        second = _session(after)
        found = [_run(second, feed) for feed in feeds]
    except ConversionError as e:
        return str(e)
    for one, other in zip(expected, found, strict=True):
        if list(one) != list(other):
            return f"the outputs are {', '.join(other)}, not {', '.join(one)}"
        for name, value in one.items():
            if fault := _fault(value, other[name], steps[name]):
                return f"{name} {fault}"
    return ""


def made_up_feeds(model: onnx.ModelProto, *, seed: int) -> list[Feed]:
    """Return zeros and random inputs; free dimensions of one name have one size, 2 as a rule for the first axis.

    Floats are drawn from the normal distribution, integers from {0, 1}, which any table of embeddings takes.

    Raises:
        ConversionError: if the model runs with no such input.
    """
    session = _session(model)
    reason = ""
    for sizes in _FREE_SIZES:
        random = np.random.default_rng(seed)
        try:
            feeds = [_feed(session, sizes, None), _feed(session, sizes, random)]
            for feed in feeds:
                _run(session, feed)
        except ConversionError as e:
            reason = reason or str(e)
            continue
        return feeds
    raise ConversionError(reason)


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        content = model.SerializeToString()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise ConversionError(f"onnxruntime cannot load it: {reason_of(e)}") from e


def _run(session: Any, feed: Feed) -> dict[str, NDArray[Any]]:
    try:
        names = [o.name for o in session.get_outputs()]
        return dict(zip(names, session.run(None, feed), strict=True))
    except Exception as e:
        raise ConversionError(f"onnxruntime cannot run it: {reason_of(e)}") from e


def _feed(session: Any, sizes: tuple[int, int], random: np.random.Generator | None) -> Feed:
    return {i.name: _made_up(i, tuple(_shape(i.shape, sizes)), random) for i in session.get_inputs()}


def _shape(dims: Sequence[int | str | None], sizes: tuple[int, int]) -> Iterator[int]:
    for axis, dim in enumerate(dims):
        yield dim if isinstance(dim, int) else sizes[axis > 0]


def _made_up(value: Any, shape: tuple[int, ...], random: np.random.Generator | None) -> NDArray[Any]:
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _DTYPES:
        raise ConversionError(f"its input {value.name} is a {value.type}, which cannot be made up")
    dtype = np.dtype(_DTYPES[kind])
    if random is None:
        return np.zeros(shape, dtype)
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)


def _step(model: onnx.ModelProto, output: str) -> float:
    """Return the scale of the DequantizeLinear that writes an output; 0 where another operator does."""
    import onnx

    producer = next((n for n in model.graph.node if output in n.output), None)
    if producer is None or producer.op_type != "DequantizeLinear":
        return 0.0
    scales = [i for i in model.graph.initializer if i.name == producer.input[1]]
    scales += [n.attribute[0].t for n in model.graph.node if producer.input[1] in n.output and n.op_type == "Constant"]
    return float(onnx.numpy_helper.to_array(scales[0]).max()) if scales else 0.0


def _fault(expected: Any, found: Any, step: float) -> str:
    if not isinstance(expected, np.ndarray) or not isinstance(found, np.ndarray):
        return "" if expected == found else "is another"
    if (expected.shape, expected.dtype) != (found.shape, found.dtype):
        return f"is {found.dtype} {found.shape}, not {expected.dtype} {expected.shape}"
    if expected.dtype.kind != "f":
        return "" if np.array_equal(expected, found) else "has other values"
    known = np.isfinite(expected)
    if not np.array_equal(expected[~known], found[~known], equal_nan=True):
        return "has other values that are not finite"
    if not known.any():
        return ""
    off = float(np.abs(expected[known].astype(np.float64) - found[known]).max())
    largest = float(np.abs(expected[known]).max())
    allowed = max(1.01 * step, float(np.finfo(expected.dtype).eps) ** 0.5 * largest)
    return "" if off <= allowed else f"is off by {off:.3g} (allowed: {allowed:.3g})"
