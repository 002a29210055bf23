"""What kind of work an operator does, from its name in any format: the colour of its box, and what can be merged."""

from __future__ import annotations

import re

__all__ = ["KINDS", "MOVES", "family", "is_clip"]

MOVES = "moves"
"""The family of operators that only move numbers: reshape, transpose, slice, concatenate and their like."""

KINDS = (
    *("input and output", "convolution", "matrix product", "activation", "arithmetic", "pool and resize", "norm"),
    *(MOVES, "quantize", "other"),
)
"""In the order of a legend; their places are the colours of network.css."""

_NAMES = {
    "input and output": "input output",
    "convolution": """conv conv1d conv2d conv3d convolution depthwiseconv2d depthwiseconv2dnative convtranspose
        transposeconv convtranspose1d convtranspose2d convtranspose3d conv2dbackpropinput qlinearconv convinteger""",
    "matrix product": """linear fullyconnected gemm matmul batchmatmul batchmatmulv2 mm bmm addmm baddbmm qlinearmatmul
        matmulinteger scaleddotproductattention einsum lineardynamic""",
    "activation": """relu relu6 relun1to1 relu0to1 leakyrelu prelu elu selu celu gelu silu swish mish hardswish
        hardsigmoid hardtanh sigmoid logistic tanh softmax logsoftmax clip clamp erf softplus exp""",
    "arithmetic": """add addv2 biasadd sub mul div realdiv pow sqrt rsqrt reciprocal square neg abs maximum minimum
        max min where select selectv2 sum mean reducemean reducesum""",
    "pool and resize": """avgpool2d averagepool2d averagepool avgpool globalaveragepool maxpool2d maxpool
        adaptiveavgpool2d adaptivemaxpool2d globalmaxpool l2pool2d resizebilinear resizenearestneighbor
        resize upsample upsamplenearest2d upsamplebilinear2d""",
    "norm": """layernorm nativelayernorm layernormalization groupnorm nativegroupnorm batchnorm batchnormalization
        nativebatchnormlegitnotraining fusedbatchnormv3 instancenorm instancenormalization l2normalization""",
    MOVES: """reshape view flatten squeeze unsqueeze expanddims permute transpose t concat concatv2 concatenation cat
        stack pack unpack slice stridedslice split splitv splitwithsizes chunk unbind select gather gathernd expand
        broadcastto pad padv2 mirrorpad constantpadnd reflectionpad2d replicationpad2d pixelshuffle pixelunshuffle
        depthtospace spacetodepth identity contiguous clone detach alias dropout roll tile repeat toccopy cast to
        listunpack tupleunpack listconstruct""",
    "quantize": "quantize dequantize quantizelinear dequantizelinear quantizepertensor dequantizepertensor",
}
_FAMILY = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_FUSED = re.compile(r"(relu6?|addrelu|addmmrelu)$")


def is_clip(op: str) -> bool:
    """Return whether an operator is a ReLU or another that only bounds numbers."""
    return _plain(op) in ("relu", "relu6", "relun1to1", "relu0to1", "clip", "clamp", "hardtanh")


def family(op: str) -> str:
    """Return one of KINDS.

    Capitals and underscores do not count, so that `FULLY_CONNECTED`, `_convolution` and `Conv` are found by one
    table; `quantized::conv2d_relu` is the convolution that it begins with.
    """
    plain = _plain(op)
    return _FAMILY.get(plain) or _FAMILY.get(_FUSED.sub("", plain)) or "other"


def _plain(op: str) -> str:
    return re.sub(r"[^a-z0-9]", "", op.rpartition("::")[2].lower())
