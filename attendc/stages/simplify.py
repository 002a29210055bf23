"""The step `simplify`: the float graph with fewer operators of the same function, and what each pass did to it.

`quantize` and `convert` run the same passes by themselves. The step is for whoever wants to choose among them, to see
what they do, or to have the graph; the stages after it work on the graph that it leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor, fx

from attendc import __version__
from attendc.artefacts import FLOAT_PROGRAM, graph_entries
from attendc.compress.capture import exported_graph
from attendc.compress.passes import FLOAT_PASSES, Pass, run_passes
from attendc.compress.passes.prove import proof_samples
from attendc.context import Context
from attendc.converters.program import save_program
from attendc.data.images import evenly
from attendc.data.preprocess import batches
from attendc.errors import UsageError
from attendc.exported import constant
from attendc.metrics import count_macs
from attendc.opening import Opened, dataset_of, open_told
from attendc.stages.caveat import caveat_section
from attendc.stages.simplify_config import SimplifyConfig
from attendc.stages.work import SIMPLIFIED, Made, Work
from attendc.types import Preprocess, Stamp

__all__ = ["SimplifiedNetwork", "chosen_passes", "graph_facts", "run", "simplify"]

_NO_WORK = ("sym_size", "getitem", "_assert_tensor_metadata")
"""What an exported graph calls beside operators on tensors."""


@dataclass(frozen=True)
class SimplifiedNetwork:
    """What `simplify` returns.

    Attributes:
        graph: the float graph, takes float32 (N, C, H, W).
        before: `graph_facts` of the network as torch exports it.
        after: the same of `graph`.
        passes: a row for each pass: its name, whether it changed anything, notes, and why it was left out if it was.
        proven_on: `images` or `random inputs`, and how many.
    """

    graph: fx.GraphModule
    before: dict[str, Any]
    after: dict[str, Any]
    passes: tuple[dict[str, Any], ...]
    proven_on: str


def simplify(opened: Opened, config: SimplifyConfig | None = None, context: Context | None = None) -> SimplifiedNetwork:
    """Return the float graph of a network after every pass that is proven to keep its outputs.

    Raises:
        UsageError: if a pass is named that there is not.
        DataError: if the data that the Spec names cannot be read.
        CheckpointError: if torch.export cannot trace the network.
    """
    config, context = config or SimplifyConfig(), context or Context()
    passes, preprocess = chosen_passes(config), opened.spec.preprocess
    samples = _samples(opened, config, context)
    raw = exported_graph(opened.model, preprocess)
    graph = run_passes(raw, passes, samples, context=context)
    proven_on = "random inputs" if samples is None else f"{len(samples)} images"
    before, after = (graph_facts(one, preprocess) for one in (raw, graph))
    return SimplifiedNetwork(graph, before, after, tuple(graph.meta["passes"]), proven_on)


def run(config: SimplifyConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: `model.float32.pt2`, which `quantize` and `convert` take instead of the checkpoint's own graph."""
    chosen_passes(config)
    opened = open_told(work.checkpoint_request(), context)
    done = simplify(opened, config, context)
    spec = opened.spec
    origin = opened.weights.origin
    stamp = Stamp(__version__, opened.weights.sha256, spec.labels, spec.preprocess, dtype="float32", weights=origin)
    save_program(folder / FLOAT_PROGRAM, done.graph, spec, stamp)
    told = {
        "outputs": graph_entries(folder),
        "passes": done.graph.meta["notes"],
        **caveat_section(stamp),
        "simplified": {
            "before": done.before,
            "after": done.after,
            "passes": list(done.passes),
            "proven_on": done.proven_on,
        },
    }
    return Made(told, {SIMPLIFIED: opened.weights.sha256})


def chosen_passes(config: SimplifyConfig) -> Sequence[Pass]:
    """Return the passes of a config in the order in which they run.

    Raises:
        UsageError: if a name is of none, or both lists are given.
    """
    known = [one.__name__ for one in FLOAT_PASSES]
    if config.passes is not None and config.skip:
        raise UsageError("passes and skip are two choices", hint="Give one of them")
    for name in (*(config.passes or ()), *config.skip):
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Choose from {', '.join(known)}"
            raise UsageError(f"there is no pass {name}", hint=hint)
    wanted = known if config.passes is None else config.passes
    return [one for one in FLOAT_PASSES if one.__name__ in wanted and one.__name__ not in config.skip]


def graph_facts(graph: fx.GraphModule, preprocess: Preprocess) -> dict[str, Any]:
    """Return `ops` (operator -> how often), `nodes` (their sum), `bytes` of all constants, `macs` of one image."""
    ops = Counter(_name(n) for n in graph.graph.nodes if n.op == "call_function")
    for name in _NO_WORK:
        ops.pop(name, None)
    read = {str(n.target): constant(graph, n) for n in graph.graph.nodes if n.op == "get_attr" and n.users}
    return {
        "ops": dict(sorted(ops.items())),
        "nodes": sum(ops.values()),
        "bytes": sum(tensor.nbytes for tensor in read.values()),
        "macs": count_macs(graph, preprocess.input_shape),
    }


def _name(node: fx.Node) -> str:
    packet: Any = getattr(node.target, "overloadpacket", node.target)
    return str(packet.__name__)


def _samples(opened: Opened, config: SimplifyConfig, context: Context) -> Tensor | None:
    """Return the images that passes are proven on; None where there are none, or none are wanted."""
    dataset = dataset_of(opened.spec, seed=context.seed) if config.images else None
    if dataset is None:
        if config.images:
            context.warn("passes are proven on random inputs: no data is known for this checkpoint")
        return None
    images = evenly(dataset.train, config.images)
    return proof_samples([x for x, _ in batches(images, opened.spec.preprocess, batch_size=1)])
