"""Which channels of which layers can only be removed together, and which blocks can be left out.

The dependencies are torch-pruning's (arXiv 2301.12900): residuals, gates, grouped convolutions, concatenations. What
is made of them is plain data, checked by removing a channel and running the network.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from attendc.compress.pruning.channels import remove_channels
from attendc.compress.pruning.columns import without_columns
from attendc.compress.pruning.groups import Block, ChannelGroup, Member, Side
from attendc.errors import CheckpointError
from attendc.models.surgery import RESHAPABLE, is_depthwise, layer_shape, remove_block

__all__ = ["Dependencies", "find_dependencies"]


@dataclass(frozen=True)
class Dependencies:
    """What of a network can be pruned.

    Attributes:
        model: a copy of the network, for importances to be measured on.
        groups: in the order of the network's layers.
        blocks: in the same order.
        refused: layer or block -> why it cannot be pruned.
        raw: torch-pruning's own group of each of `groups`, by name.
    """

    model: nn.Module
    groups: tuple[ChannelGroup, ...]
    blocks: tuple[Block, ...]
    refused: dict[str, str]
    raw: dict[str, Any] = field(default_factory=dict)


def find_dependencies(model: nn.Module, sample: Tensor) -> Dependencies:
    """Find groups and blocks of `model` for an input `sample` (N, C, H, W); the model is left as it is.

    Raises:
        CheckpointError: if torch-pruning cannot follow the network at all.
    """
    own = copy.deepcopy(model).cpu().eval().requires_grad_(True)
    names = {module: name for name, module in own.named_modules()}
    with without_columns(own):
        graph, notes = _traced(own, sample)
        items = list(graph.get_all_groups(root_module_types=[nn.Conv2d, nn.Linear]))
    reused = _used_more_than_once(own, sample)
    groups: list[ChannelGroup] = []
    raw: dict[str, Any] = {}
    refused = dict.fromkeys(reused, "it is used more than once")
    for item in items:
        group = _group_of(item, graph, names)
        if isinstance(group, str):
            refused[names[item[0].dep.target.module]] = group
        elif reused & {m.layer for m in group.members}:
            refused[group.name] = "it goes with a layer that is used more than once"
        else:
            groups.append(group)
            raw[group.name] = item
    order = {name: index for index, name in enumerate(names.values())}
    groups = _that_run(own, sorted(groups, key=lambda g: order[g.name]), sample, refused)
    blocks = _residual_blocks(own, sample, refused)
    for note in notes:
        refused.setdefault("(network)", note)
    return Dependencies(own, tuple(groups), tuple(blocks), refused, raw)


def _traced(model: nn.Module, sample: Tensor) -> tuple[Any, list[str]]:
    """Return torch-pruning's graph, and what it warned about."""
    try:
        with warnings.catch_warnings(record=True) as caught, torch.enable_grad():
            warnings.simplefilter("always")
            graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=sample)
    except Exception as e:  # whatever the user's network makes it raise
        raise CheckpointError(
            f"the channels of the network cannot be grouped: {type(e).__name__}: {e}",
            hint="torch-pruning could not follow it; the checkpoint is untouched",
        ) from e
    return graph, [str(w.message).split("\n", 1)[0] for w in caught]


def _used_more_than_once(model: nn.Module, sample: Tensor) -> set[str]:
    calls: Counter[str] = Counter()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, module in model.named_modules()
        if isinstance(module, RESHAPABLE)
    ]
    with torch.no_grad():
        model(sample)
    for hook in hooks:
        hook.remove()
    return {name for name, count in calls.items() if count > 1}


def _group_of(item: Any, graph: Any, names: dict[nn.Module, str]) -> ChannelGroup | str:
    """Return torch-pruning's group as plain data, or the reason why it cannot be pruned."""
    root = item[0].dep.target.module
    members: list[Member] = []
    pools: list[tuple[str, int]] = []
    for index in range(len(item)):
        node = item[index].dep.target
        layer = node.module
        if layer not in names:
            if isinstance(layer, nn.Parameter):
                return f"it goes with a parameter of shape {tuple(layer.shape)} that belongs to no layer"
            pools += _pool(node)
            continue
        if not _has_channels(layer):
            if any(p.numel() > 1 for p in layer.parameters(recurse=False)):
                return f"it goes with {names[layer]}, {_kind(layer)}"
            continue
        if graph.is_out_channel_pruning_fn(item[index].dep.handler) and not node.outputs:
            return "its outputs are the network's"
        if any(r is None for r in item[index].root_idxs):
            return f"its channels cannot be followed into {names[layer]}"
        members.append(_member(item[index], layer, names[layer], graph))
    columns = _columns(members, dict(zip(names.values(), names.keys(), strict=True)))
    if isinstance(columns, str):
        return columns
    size = len(item[0].idxs)
    if size % columns:
        return f"{size} channels do not make {columns} equal columns"
    return ChannelGroup(names[root], size, columns, tuple(members), tuple(dict.fromkeys(pools)))


def _has_channels(layer: nn.Module) -> bool:
    """Return whether a layer has a shape for each of its channels: not so with one slope for all, or over pixels."""
    if isinstance(layer, nn.PReLU):
        return layer.num_parameters > 1
    if isinstance(layer, nn.LayerNorm):
        return len(layer.normalized_shape) == 1
    return isinstance(layer, RESHAPABLE)


def _kind(layer: nn.Module) -> str:
    return f"a {type(layer).__name__}" + (" over more than channels" if isinstance(layer, nn.LayerNorm) else "")


def _member(entry: Any, layer: nn.Module, name: str, graph: Any) -> Member:
    own = isinstance(layer, nn.Conv2d | nn.Linear) and not is_depthwise(layer)
    side: Side = "both"
    if own:
        side = "out" if graph.is_out_channel_pruning_fn(entry.dep.handler) else "in"
    return Member(name, side, tuple(int(i) for i in entry.idxs), tuple(int(r) for r in entry.root_idxs))


def _pool(node: Any) -> list[tuple[str, int]]:
    """Return (name, kernel area) of an average pool or a mean over pixels; nothing for other operators."""
    function = node.grad_fn
    if function is None:
        return []
    kind = function.name()
    if kind.startswith("AvgPool2D"):
        return [(node.name or str(node.module), math.prod(function._saved_kernel_size))]
    if kind.startswith("Mean"):
        sizes = getattr(function, "_saved_self_sym_sizes", ())
        return [(node.name or str(node.module), math.prod(int(s) for s in sizes[2:]))]
    return []


def _columns(members: list[Member], modules: dict[str, nn.Module]) -> int | str:
    """Return in how many parts the channels are cut by grouped convolutions and group norms, or why nobody knows."""
    root = members[0]
    if root.channels != root.roots or len(root.channels) != layer_shape(modules[root.layer])[0]:
        return "its channels cannot be followed"
    columns = 1
    for member in members:
        layer = modules[member.layer]
        outputs, inputs, groups = layer_shape(layer)
        if groups == 1 or is_depthwise(layer):
            continue
        if member.channels != member.roots:
            return f"its channels reach the groups of {member.layer} in another order"
        if len(member.channels) != (inputs if member.side == "in" else outputs):
            return f"they are only some of the channels of {member.layer}, which has groups"
        columns = math.lcm(columns, groups)
    return columns


def _that_run(
    model: nn.Module, groups: list[ChannelGroup], sample: Tensor, refused: dict[str, str]
) -> list[ChannelGroup]:
    """Return the groups without whose first channels the network still runs; say of the others why not."""
    found = []
    for group in groups:
        part = group.size // group.columns
        if part < 2:
            refused[group.name] = f"it has {part} channel a column"
            continue
        kept = [c for c in range(group.size) if c % part]
        trial = copy.deepcopy(model)
        try:
            remove_channels(trial, group, kept, sample)
        except CheckpointError as e:
            refused[group.name] = e.message
        else:
            found.append(group)
    return found


@torch.no_grad()
def _residual_blocks(model: nn.Module, sample: Tensor, refused: dict[str, str]) -> list[Block]:
    """Return the modules that pass their input on when all their weights are zero, shape unchanged.

    Those that only string others together are left out. One may hold another, as a residual block a squeeze-and-excite.
    """
    shapes = _shapes_in_and_out(model, sample)
    found: list[Block] = []
    for name, module in model.named_modules():
        layers = tuple(f"{name}.{n}" for n, m in module.named_modules() if n and isinstance(m, RESHAPABLE))
        if not name or not layers or name not in shapes or shapes[name][0] != shapes[name][1]:
            continue
        if not _passes_on(module, shapes[name][0]):
            continue
        trial = copy.deepcopy(model)
        remove_block(trial, name)
        try:
            trial(sample)
        except Exception as e:  # noqa: BLE001 - the user's forward may look at the block
            refused[name] = f"the network does not run without it: {type(e).__name__}: {e}"
            continue
        found.append(Block(name, layers))
    names = [b.name for b in found]
    strings = {n for n, m in model.named_modules() if isinstance(m, nn.Sequential)}
    return [b for b in found if b.name not in strings or not any(n.startswith(f"{b.name}.") for n in names)]


def _shapes_in_and_out(model: nn.Module, sample: Tensor) -> dict[str, tuple[torch.Size, torch.Size]]:
    """Return the shapes of input and output of each module that takes and gives one tensor."""
    shapes: dict[str, tuple[torch.Size, torch.Size]] = {}

    def note(name: str, given: tuple[Any, ...], out: Any) -> None:
        if len(given) == 1 and isinstance(given[0], Tensor) and isinstance(out, Tensor):
            shapes[name] = (given[0].shape, out.shape)

    hooks = [
        module.register_forward_hook(lambda _, given, out, name=name: note(name, given, out))
        for name, module in model.named_modules()
    ]
    model(sample)
    for hook in hooks:
        hook.remove()
    return shapes


def _passes_on(module: nn.Module, shape: torch.Size) -> bool:
    """Return whether the output still follows the input when every weight in the module is zero."""
    empty = copy.deepcopy(module)
    for parameter in empty.parameters():
        parameter.zero_()
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(shape, generator=generator) for _ in range(2))
    try:
        return not torch.allclose(empty(first), empty(second))
    except Exception:  # noqa: BLE001 - it was never meant to be called alone
        return False
