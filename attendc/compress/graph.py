"""Small questions and edits that every pass on an exported graph needs: constants, modules, replacement."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

__all__ = [
    "add_constant",
    "call_nodes",
    "free_shape",
    "insert_call",
    "insert_pad",
    "is_constant",
    "is_float",
    "module_path",
    "number_like",
    "replace_node",
    "same_shape",
    "set_constant",
    "tidy",
]

Overload = torch._ops.OpOverload


def call_nodes(graph: fx.Graph, *targets: Overload) -> list[fx.Node]:
    """Return the nodes that call one of `targets`, or any operator, in order."""
    calls = [n for n in graph.nodes if n.op == "call_function"]
    return [n for n in calls if not targets or n.target in targets]


def is_float(node: object) -> bool:
    """Return whether `node` is a tensor of floats."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return isinstance(value, Tensor) and value.is_floating_point()


def same_shape(one: fx.Node, other: fx.Node) -> bool:
    """Return whether two tensors have the same sizes; those that depend on the batch are compared as written."""
    return str(one.meta["val"].shape) == str(other.meta["val"].shape)


def number_like(value: float, like: fx.Node) -> Tensor:
    """Return a number of as many dimensions as `like`: litert-torch puts TRANSPOSE around broadcasts."""
    return torch.full((1,) * like.meta["val"].ndim, value)


def free_shape(node: fx.Node) -> list[int] | None:
    """Return the sizes of a tensor of an exported graph, -1 for the one that depends on the batch; None if two do."""
    shape = [int(size) if isinstance(size, int) else -1 for size in node.meta["val"].shape]
    return shape if shape.count(-1) <= 1 else None


def is_constant(node: object) -> bool:
    """Return whether `node` reads a parameter or a buffer."""
    return isinstance(node, fx.Node) and node.op == "get_attr"


def set_constant(gm: fx.GraphModule, node: fx.Node, value: Tensor) -> None:
    """Give a get_attr node another tensor, as a parameter where it was one."""
    *path, name = str(node.target).split(".")
    owner: nn.Module = gm
    for part in path:
        owner = getattr(owner, part)
    if isinstance(getattr(owner, name), nn.Parameter):
        setattr(owner, name, nn.Parameter(value))
    else:
        delattr(owner, name)
        owner.register_buffer(name, value)


def add_constant(gm: fx.GraphModule, name: str, value: Tensor, before: fx.Node, *, trained: bool = False) -> fx.Node:
    """Store `value` under a free name like `name` and return a get_attr node for it before `before`."""
    free, count = name, 0
    while hasattr(gm, free):
        count += 1
        free = f"{name}_{count}"
    if trained:
        gm.register_parameter(free, nn.Parameter(value))
    else:
        gm.register_buffer(free, value)
    with gm.graph.inserting_before(before):
        node = gm.graph.get_attr(free)
    node.meta["val"] = value
    return node


def insert_call(
    gm: fx.GraphModule, before: fx.Node, target: Overload, args: tuple[object, ...], like: fx.Node
) -> fx.Node:
    """Insert a call before `before`; it inherits the module of `like` and computes its own shape."""
    with gm.graph.inserting_before(before):
        node = gm.graph.call_function(target, args)  # type: ignore[arg-type]
    node.meta.update({k: v for k, v in like.meta.items() if k in ("nn_module_stack", "stack_trace")})
    values = [source.meta["val"] for source in node.all_input_nodes]
    mode = next((v.fake_mode for v in values if hasattr(v, "fake_mode")), None)
    if mode is not None:
        with mode:
            node.meta["val"] = target(*fx.node.map_arg(node.args, lambda source: _fake(source.meta["val"], mode)))
    return node


def insert_pad(gm: fx.GraphModule, before: fx.Node, x: fx.Node, sizes: list[int], like: fx.Node) -> fx.Node:
    """Insert a pad of zeros; `sizes` are before and behind, from the last dimension on, the batch's not among them.

    torch's own way to the shape of a pad takes the batch for fixed ever after.
    """
    with gm.graph.inserting_before(before):
        node = gm.graph.call_function(torch.ops.aten.constant_pad_nd.default, (x, sizes))
    node.meta.update({k: v for k, v in like.meta.items() if k in ("nn_module_stack", "stack_trace")})
    value = x.meta["val"]
    shape = list(value.shape)
    for place in range(len(sizes) // 2):
        shape[-1 - place] += sizes[2 * place] + sizes[2 * place + 1]
    node.meta["val"] = value.new_empty(shape)
    return node


def _fake(value: object, mode: Any) -> Any:
    return mode.from_tensor(value, static_shapes=True) if type(value) in (Tensor, nn.Parameter) else value


def replace_node(gm: fx.GraphModule, old: fx.Node, new: fx.Node) -> None:
    """Let every user of `old` read `new`, and drop `old`."""
    old.replace_all_uses_with(new)
    gm.graph.erase_node(old)


def module_path(node: fx.Node) -> str:
    """Return where in the user's network a node comes from: `stages.0.0.attention.1.0 (Conv2d)`."""
    stack = node.meta.get("nn_module_stack") or {}
    if not stack:
        return node.name
    path, kind = list(stack.values())[-1]
    kind_name = kind if isinstance(kind, str) else kind.__qualname__
    return f"{path or '(the network)'} ({kind_name.rsplit('.', 1)[-1]})"


def tidy(gm: fx.GraphModule) -> fx.GraphModule:
    """Drop what nothing reads, check the graph and generate its code again."""
    gm.graph.eliminate_dead_code()
    gm.delete_all_unused_submodules()
    used = {str(n.target) for n in gm.graph.nodes if n.op == "get_attr"}
    for name in [n for n, _ in gm.named_parameters()] + [n for n, _ in gm.named_buffers()]:
        if name not in used and "." not in name:
            delattr(gm, name)
    gm.graph.lint()
    gm.recompile()
    return gm
