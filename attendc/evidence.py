"""What the report shows beyond the numbers of verification: layers, ranges, who agrees with whom, and on which images.

All of it is plain data that json can write.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from attendc.context import Context
from attendc.data.images import Images
from attendc.layer_spread import Spread, TensorSpread, measure_spreads
from attendc.metrics import top1_agreement
from attendc.targets import FLOAT, GRAPH
from attendc.types import Preprocess

__all__ = ["MOST_SHOWN", "gather_evidence"]

MOST_SHOWN = 24
LARGEST_PICTURE = 256
"""Longest side of a picture in pixels; larger images are scaled down."""
_INT8 = ("tflite", "onnx", GRAPH)
"""Who stands for int8 where it is compared with float: the first that is there."""


def gather_evidence(
    *,
    network: nn.Module,
    graph: fx.GraphModule | None,
    outputs: Mapping[str, Tensor],
    images: Images,
    preprocess: Preprocess,
    labels: Sequence[str],
    context: Context,
    has_labels: bool = True,
) -> dict[str, Any]:
    """Return the evidence.

    `layers` has the error of each tensor of the int8 graph in dB (see `attendc.layer_spread` for what is compared),
    `ranges` how the numbers of weights and tensors are spread, `agreement` the top-1 agreement of every two runners on
    the images that both saw, and `disagreements` the images that float and int8 call differently: at most `MOST_SHOWN`
    of them, those first where float is the surest.

    Args:
        network: the float network, or the graph that was captured of it.
        graph: the quantized graph; without one there are no layers and no ranges.
        outputs: the logits of each runner of `attendc.parity.verify`, of the first images or all.
        images: what they were shown.
        preprocess: of the images.
        labels: a name per class; a class without one is told by its number.
        context: where progress is told.
        has_labels: whether the classes of the images are true; those of random images are not.
    """
    spreads = [] if graph is None else measure_spreads(network, graph, images, preprocess, context)
    return {
        "layers": [_layer(one) for one in spreads if one.sqnr_db is not None],
        "ranges": [_ranges(one) for one in spreads],
        "agreement": _agreement(outputs),
        "disagreements": _disagreements(outputs, images, labels, has_labels=has_labels),
    }


def _layer(one: TensorSpread) -> dict[str, Any]:
    assert one.sqnr_db is not None
    return {"layer": one.layer, "op": one.op, "sqnr_db": round(one.sqnr_db, 2), "shape": list(one.shape)}


def _ranges(one: TensorSpread) -> dict[str, Any]:
    weight = None if one.weight is None else {**_spread(one.weight), "scale": list(one.weight.scale)}
    activation = {**_spread(one.activation), "scale": one.activation.scale[0]}
    return {"layer": one.layer, "weight": weight, "activation": activation}


def _spread(spread: Spread) -> dict[str, Any]:
    return {
        "min": spread.low,
        "max": spread.high,
        "edges": spread.edges(),
        "counts": list(spread.counts),
        "zero_point": spread.zero_point,
        "clipped": spread.clipped,
    }


def _agreement(outputs: Mapping[str, Tensor]) -> dict[str, Any]:
    names = list(outputs)
    both = [[min(len(outputs[a]), len(outputs[b])) for b in names] for a in names]
    matrix = [
        [top1_agreement(outputs[a][:n], outputs[b][:n]) for b, n in zip(names, row, strict=True)]
        for a, row in zip(names, both, strict=True)
    ]
    return {"names": names, "matrix": matrix, "images": both}


def _disagreements(
    outputs: Mapping[str, Tensor], images: Images, labels: Sequence[str], *, has_labels: bool
) -> dict[str, Any]:
    other = next((name for name in _INT8 if name in outputs), None)
    if other is None or FLOAT not in outputs:
        return {"of": 0, "total": 0, "shown": []}
    count = min(len(outputs[FLOAT]), len(outputs[other]))
    shares = outputs[FLOAT][:count].double().softmax(1)
    said, instead = shares.argmax(1), outputs[other][:count].argmax(1)
    differing = [i for i in range(count) if said[i] != instead[i]]
    margins = {i: float(shares[i, said[i]] - shares[i, instead[i]]) for i in differing}
    shown = sorted(differing, key=lambda i: (-margins[i], i))[:MOST_SHOWN]
    rows = [
        {
            "index": i,
            "label": _class(labels, int(images.targets[i])) if has_labels else None,
            "float": _class(labels, int(said[i])),
            "int8": _class(labels, int(instead[i])),
            "float_margin": margins[i],
            "image": _png(pixels),
        }
        for i, pixels in zip(shown, images.read(shown), strict=True)
    ]
    return {"of": count, "total": len(differing), "shown": rows}


def _class(labels: Sequence[str], index: int) -> str:
    return labels[index] if index < len(labels) else str(index)


def _png(pixels: NDArray[np.uint8]) -> str:
    """Return a raw image (H, W, C) as a data URI: in gray where it has no three channels, the first of them."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]))
    picture.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
