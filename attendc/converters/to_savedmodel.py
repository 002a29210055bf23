"""TensorFlow SavedModel: plain operators, NHWC, free batch size, one file and the stamp beside it.

The file is the one of TensorFlow's formats that holds a graph alone: the weights are constants in it, there are no
variables, functions or checkpoints, and nothing that depends on the process that wrote it. So the same graph gives the
same bytes. `tf.saved_model.load` reads it, and so do TFLiteConverter and TensorFlow Serving.

An int8 SavedModel computes in float32, between quantizers with the graph's own scales and arithmetic: it simulates what
a device computes. Its weights are stored as int8 and its biases as int32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import fx

from attendc.errors import ConversionError
from attendc.files import replace_folder
from attendc.runtimes import load_tensorflow
from attendc.types import METADATA_FILE, Stamp

__all__ = ["GRAPH_FILE", "SIGNATURE", "STAMP_FILE", "write_savedmodel"]

GRAPH_FILE, STAMP_FILE = "saved_model.pb", f"assets.extra/{METADATA_FILE}"
SIGNATURE = "serving_default"
_METHOD, _TAG = "tensorflow/serving/predict", "serve"
_MOST_BYTES = 2**31


def write_savedmodel(path: Path, graph: fx.GraphModule, stamp: Stamp) -> list[str]:
    """Write a quantized graph (`stamp.dtype` int8) or a float graph as the folder `path`; return notes.

    It takes `image`, float32 (N, H, W, C) of any N, and gives `logits`, float32 (N, classes).

    Raises:
        ConversionError: if there is an operator that the target has not, by name and module.
        OutputError: if the folder cannot be written, or holds something else.
    """
    content = _saved_model(graph, stamp)
    with replace_folder(path, GRAPH_FILE) as beside:
        (beside / GRAPH_FILE).write_bytes(content)
        (beside / STAMP_FILE).parent.mkdir()
        text = json.dumps(stamp.as_json(), sort_keys=True, indent=2)
        (beside / STAMP_FILE).write_text(text + "\n", encoding="utf-8")
    return []


def _saved_model(graph: fx.GraphModule, stamp: Stamp) -> bytes:
    tf = load_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    from attendc.converters.savedmodel_graph import build_graph  # which loads tensorflow

    built = build_graph(graph, stamp.preprocess)
    saved: Any = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append(_TAG)
    meta.meta_info_def.tensorflow_version = tf.__version__
    meta.graph_def.CopyFrom(built.as_graph_def())
    _drop_unread(meta.graph_def, ["image", "logits"])
    _share_constants(meta.graph_def)
    signature = meta.signature_def[SIGNATURE]
    signature.method_name = _METHOD
    for name, entries in (("image", signature.inputs), ("logits", signature.outputs)):
        tensor = built.get_tensor_by_name(f"{name}:0")
        entries[name].name = tensor.name
        entries[name].dtype = tensor.dtype.as_datatype_enum
        entries[name].tensor_shape.CopyFrom(tensor.shape.as_proto())
    if saved.ByteSize() >= _MOST_BYTES:
        raise ConversionError(f"a SavedModel of {saved.ByteSize()} bytes is more than the 2 GiB of one file")
    content: bytes = saved.SerializeToString(deterministic=True)
    return content


def _drop_unread(graph_def: Any, ends: list[str]) -> None:
    """Drop the nodes on which no end depends."""
    nodes = {n.name: n for n in graph_def.node}
    kept, found = set(), list(ends)
    while found:
        name = found.pop()
        if name not in kept:
            kept.add(name)
            found += [i.lstrip("^").split(":")[0] for i in nodes[name].input]
    left = [n for n in graph_def.node if n.name in kept]
    del graph_def.node[:]
    graph_def.node.extend(left)


def _share_constants(graph_def: Any) -> None:
    """Store each constant once, however many nodes read it."""
    first: dict[bytes, str] = {}
    names: dict[str, str] = {}
    for node in graph_def.node:
        if node.op == "Const":
            key = node.attr["value"].SerializeToString(deterministic=True)
            names[node.name] = first.setdefault(key, node.name)
    doubles = {name for name, kept in names.items() if name != kept}
    left = [n for n in graph_def.node if n.name not in doubles]
    for node in left:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
    del graph_def.node[:]
    graph_def.node.extend(left)
