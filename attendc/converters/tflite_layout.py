"""What litert-torch must still be told so that an NHWC graph needs no TRANSPOSE.

Its layout pass knows which operators can run on (N, H, W, C), and puts a TRANSPOSE on both sides of any other. A zero
pad (ZeroPad2d, and the `same` padding of networks that came from TensorFlow) is one that it does not know.
"""

from __future__ import annotations

import torch
from torch import fx

__all__ = ["teach_layouts"]

_PAD = torch.ops.aten.constant_pad_nd.default


def teach_layouts() -> None:
    """Add the missing rewriters to litert-torch's own table; doing it twice changes nothing."""
    from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.layout_rewrite import rewriters

    if _PAD not in rewriters:
        rewriters.register(_PAD)(_pad_nhwc)


def _pad_nhwc(node: fx.Node) -> None:
    """Turn [left, right, top, bottom] of (N, C, H, W) into the same of (N, H, W, C), whose last axis is not padded."""
    x, sizes, *value = node.args
    assert isinstance(sizes, (list, tuple))
    left_right, top_bottom, channels = (list(sizes) + [0] * 6)[:2], (list(sizes) + [0] * 6)[2:4], list(sizes)[4:6]
    node.args = (x, [*(channels or [0, 0]), *left_right, *top_bottom], *value)
