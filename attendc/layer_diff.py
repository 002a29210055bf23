"""Where an artefact first leaves its graph: the integer tensors of both, layer by layer, in steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from attendc.qdq import activation_nodes

__all__ = ["LayerDistance", "first_difference", "layer_distances"]

_Integers = NDArray[np.signedinteger[Any]]
MOST_STEPS = 2
MOST_SHARE = 0.01


@dataclass(frozen=True)
class LayerDistance:
    """Attributes:
    layer: the operator in the graph whose output is compared, and where in the network it stands.
    max_steps: largest difference of its int8 (or int16) outputs.
    share: part (0..1) of the outputs that differ by more than `MOST_STEPS` steps.
    """

    layer: str
    max_steps: int
    share: float


def first_difference(graph: fx.GraphModule, kind: str, path: Path, x: Tensor) -> str:
    """Return a sentence on the first layer of a .tflite or .onnx that differs by more than a step or two.

    `x` is an input (N, C, H, W).
    """
    distances = layer_distances(graph, kind, path, x)
    for one in distances:
        if one.share > MOST_SHARE:
            return (
                f"first differs at {one.layer}: {one.share:.1%} of its values by more than {MOST_STEPS} steps, "
                f"by {one.max_steps} at most"
            )
    worst = max(distances, key=lambda d: d.max_steps)
    return f"no layer stands out; the largest difference is {worst.max_steps} steps at {worst.layer}"


def layer_distances(graph: fx.GraphModule, kind: str, path: Path, x: Tensor) -> list[LayerDistance]:
    """Compare every integer tensor that both have, in the graph's order; for int16 that is `derived.int16_graph`."""
    theirs = _onnx_tensors(path, x) if kind == "onnx" else _tflite_tensors(path, x)
    held = list(theirs)
    found = []
    for name, scale, zero_point, ours in _graph_tensors(graph, x):
        key = (scale, zero_point, ours.shape)
        match = next((t for t in held if (t[0], t[1], t[2].shape) == key), None)
        if match is None:
            continue
        held = [t for t in held if t is not match]
        steps = np.abs(ours.astype(np.int32) - match[2].astype(np.int32))
        found.append(LayerDistance(name, int(steps.max()), float((steps > MOST_STEPS).mean())))
    return found


def _graph_tensors(graph: fx.GraphModule, x: Tensor) -> Iterator[tuple[str, float, int, _Integers]]:
    """Yield (layer, scale, zero point, integers (N, ...)) of every quantized tensor, in order."""
    wanted = set(activation_nodes(graph.graph))
    values: dict[fx.Node, Any] = {}

    class _Keep(torch.fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if n in wanted:
                values[n] = value
            return value

    with torch.no_grad():
        _Keep(graph).run(x.clone(memory_format=torch.contiguous_format))  # see runtimes.torch_runner
    for node, value in values.items():
        source = node.all_input_nodes[0]
        stack = list((source.meta.get("nn_module_stack") or {}).values())
        where = f" in {stack[-1][0]}" if stack and stack[-1][0] else ""
        scale, zero_point = float(node.args[1]), int(node.args[2])  # type: ignore[arg-type]
        yield f"{source.name}{where}", scale, zero_point, value.numpy()


def _onnx_tensors(path: Path, x: Tensor) -> list[tuple[float, int, _Integers]]:
    import onnx
    import onnxruntime

    model = onnx.load(path)
    values = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    for node in nodes:
        model.graph.output.append(onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.INT8, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run([n.output[0] for n in nodes], {model.graph.input[0].name: x.numpy()})
    return [(float(values[n.input[1]]), int(values[n.input[2]]), out) for n, out in zip(nodes, outputs, strict=True)]


def _tflite_tensors(path: Path, x: Tensor) -> list[tuple[float, int, _Integers]]:
    """Return the int8 and int16 tensors of LiteRT's own kernels, put back from NHWC to NCHW."""
    from attendc.runtimes import quantize_like, tflite_interpreter

    interpreter = tflite_interpreter(path, kernels="plain")
    source = interpreter.get_input_details()[0]
    details = [d for d in interpreter.get_tensor_details() if d["dtype"] in (np.int8, np.int16)]
    images: dict[int, list[_Integers]] = {d["index"]: [] for d in details}
    for image in x:
        interpreter.set_tensor(source["index"], quantize_like(image.permute(1, 2, 0)[None], source))
        interpreter.invoke()
        for index, kept in images.items():
            try:
                kept.append(interpreter.get_tensor(index))
            except ValueError:  # a tensor that no operator computes has no data
                continue
    found = []
    for d in details:
        if images[d["index"]] and d["shape"][0] == 1:
            value = np.concatenate(images[d["index"]])
            value = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
            found.append((float(d["quantization"][0]), int(d["quantization"][1]), value))
    return found
