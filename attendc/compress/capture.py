"""From an nn.Module to the float graph that everything after works on: exported, functional, batch norms folded."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import fx, nn

from attendc.compress.passes import FLOAT_PASSES, Pass, run_passes
from attendc.context import Context
from attendc.errors import CheckpointError
from attendc.exported import batch_dim
from attendc.types import Preprocess

__all__ = ["capture", "check_classifier", "exported_graph", "probe"]

aten = torch.ops.aten

_SPELLED_OUT_BY_TORCH = (aten.einsum.default,)
"""Operators that torch itself writes with those that the passes know; of all others it keeps what was called."""


def probe(preprocess: Preprocess, batch: int = 2) -> torch.Tensor:
    """Return an input of the right shape, float32 (N, C, H, W), for tracing."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, *preprocess.input_shape, generator=generator)


def capture(
    model: nn.Module,
    preprocess: Preprocess,
    samples: torch.Tensor | None = None,
    *,
    passes: Sequence[Pass] = FLOAT_PASSES,
    context: Context | None = None,
) -> fx.GraphModule:
    """Return the float graph of `model` with a free batch size; `model` is left as it is.

    Args:
        model: a classifier.
        preprocess: what it takes.
        samples: float32 (N, C, H, W) that each pass is proven on; random ones if there are none.
        passes: what is done to the graph.
        context: where it is said that a pass was left out.

    Raises:
        CheckpointError: if the model does not take the input that the Spec describes, or torch.export
            cannot trace it.
    """
    return run_passes(exported_graph(model, preprocess), passes, samples, context=context)


def exported_graph(model: nn.Module, preprocess: Preprocess) -> fx.GraphModule:
    """Return what torch.export makes of `model`, before any pass; raises as `capture` does."""
    model = copy.deepcopy(model).cpu().eval()
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    sample = probe(preprocess)
    check_classifier(model, sample)
    try:
        program = torch.export.export(model, (sample,), dynamic_shapes=({0: batch_dim()},), strict=False)
        table = torch.export.default_decompositions()
        program = program.run_decompositions({op: table[op] for op in _SPELLED_OUT_BY_TORCH})
    except Exception as e:
        raise CheckpointError(
            f"torch.export cannot trace the network: {_first_line(e)}",
            hint="Its forward must not branch on values, and must take any batch size",
        ) from e
    graph = program.module(check_guards=False)
    assert isinstance(graph, fx.GraphModule)
    return graph


@torch.no_grad()
def check_classifier(model: nn.Module, sample: torch.Tensor) -> None:
    """Check that a network takes an input (N, C, H, W) and returns logits (N, classes).

    Raises:
        CheckpointError: if not.
    """
    try:
        out = model(sample)
    except Exception as e:
        raise CheckpointError(
            f"the network does not take an input of shape {tuple(sample.shape)}: {_first_line(e)}",
            hint="Check the channels and the size of its input: --input-shape CxHxW",
        ) from e
    if not isinstance(out, torch.Tensor) or out.ndim != 2:
        shape = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise CheckpointError(f"the network returns {shape}", hint="A classifier must return logits (N, classes)")


def _first_line(error: Exception) -> str:
    """Return the first line of what it says; its type where it says nothing."""
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
