"""Put a ReLU or ReLU6 before the max pool that it follows.

Rules:
1. relu(max_pool(x)) becomes max_pool(relu(x)), where only the ReLU reads the pool: both keep the order of numbers. In
   this order the ReLU joins the convolution before it; in the other, litert-torch refuses the pool, whose output must
   keep the scale of its input.
"""

from __future__ import annotations

import torch
from torch import fx

from attendc.compress.graph import call_nodes, insert_call, replace_node
from attendc.compress.kernel_limits import clips_like_relu
from attendc.compress.passes.outcome import Outcome, outcome

__all__ = ["relu_before_pool"]

aten = torch.ops.aten


def relu_before_pool(gm: fx.GraphModule) -> Outcome:
    """Swap each ReLU with the max pool that only it reads."""
    done = 0
    for relu in [n for n in call_nodes(gm.graph) if clips_like_relu(n)]:
        pool = relu.args[0]
        assert isinstance(pool, fx.Node)
        if pool.target is not aten.max_pool2d.default or len(pool.users) != 1:
            continue
        first = insert_call(gm, relu, relu.target, (pool.args[0], *relu.args[1:]), relu)  # type: ignore[arg-type]
        replace_node(gm, relu, insert_call(gm, relu, pool.target, (first, *pool.args[1:]), pool))
        gm.graph.erase_node(pool)
        done += 1
    return outcome(gm, f"put {done} ReLUs before their max pool" if done else None)
