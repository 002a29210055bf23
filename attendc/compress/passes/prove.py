"""Proof that a pass kept the network: its graph is whole, and its outputs on samples are what they were.

Rules:
1. The graph passes torch's own check, which `tidy` runs, and every constant that it reads is a tensor.
2. What each node computes has the shape and the dtype that the graph says, at other batch sizes than the traced one.
3. The outputs have the shape that they had, and differ by no more than `TOLERANCE` of the largest output from those
   before the pass, and from those of the network that came in: small errors do not add up unseen. A network that
   magnifies rounding itself may differ by `REACTION` times what a change of its input by `NUDGE` does to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from attendc.exported import constant

__all__ = [
    "MOST_SAMPLES",
    "TOLERANCE",
    "Known",
    "UnprovenError",
    "known_outputs",
    "proof_samples",
    "prove",
    "random_samples",
]

TOLERANCE = 1e-4
"""Of the largest output. Passes that fold sums in another order differ by some 1e-6 of it."""
NUDGE, REACTION = 2.0**-20, 10.0
"""Eight times the rounding of float32, up or down. AttendNeXt with random weights answers to it with 2e-3 of its
largest output, and to folded batch norms with 1e-3; trained, with 3e-7."""
_BATCH = 7
"""Odd, and not the batch of 2 that graphs are traced with."""
MOST_SAMPLES = 16
_LEAST, _PIXELS = 3, 2**17


class UnprovenError(Exception):
    """What a pass broke, in words that follow its name."""


@dataclass(frozen=True)
class Known:
    """Attributes:
    samples: float32 (N, C, H, W).
    first: what the network that came in makes of them, float32 (N, classes).
    last: what the graph made of them after the last pass that was kept.
    reaction: largest change of `first` where each number of the samples changes by `NUDGE` of itself.
    """

    samples: Tensor
    first: Tensor
    last: Tensor
    reaction: float = 0.0

    @property
    def limit(self) -> float:
        """Return by how much outputs may differ."""
        return max(TOLERANCE * self.largest, REACTION * self.reaction)

    @property
    def largest(self) -> float:
        """Return the largest output of the network that came in, without its sign."""
        return float(self.first.nan_to_num(0.0, 0.0, 0.0).abs().max())


def proof_samples(inputs: Sequence[Tensor]) -> Tensor | None:
    """Return those of some inputs (1, C, H, W) that passes are proven on, evenly spread: (N, C, H, W); None of none."""
    if not inputs:
        return None
    count = min(len(inputs), _sample_count(*inputs[0].shape[-2:]))
    chosen = [inputs[i * len(inputs) // count] for i in range(count)]
    # With one channel, the strides of images may look like those of channels-last.
    return torch.cat(chosen).clone(memory_format=torch.contiguous_format)


def _sample_count(height: int, width: int) -> int:
    """Return how many images of a size are compared: 16 small ones, down to 3 of 256x256 and more."""
    return min(MOST_SAMPLES, max(_LEAST, _PIXELS // (height * width)))


def random_samples(gm: fx.GraphModule) -> Tensor:
    """Return inputs for a graph where there are no images: float32 (N, C, H, W), always the same."""
    source = next(n for n in gm.graph.nodes if n.op == "placeholder")
    shape = [int(s) for s in source.meta["val"].shape[1:]]
    count = _sample_count(shape[-2], shape[-1]) if len(shape) > 1 else MOST_SAMPLES
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def known_outputs(gm: fx.GraphModule, samples: Tensor) -> Known:
    """Return what a graph makes of samples (N, C, H, W) before any pass."""
    first = torch.cat([gm(x) for x in torch.split(samples, _BATCH)])
    signs = torch.randint(0, 2, samples.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    nudged = torch.cat([gm(x) for x in torch.split(samples * (1 + NUDGE * signs), _BATCH)])
    return Known(samples, first, first, float((nudged - first).nan_to_num(0.0, 0.0, 0.0).abs().max()))


@torch.no_grad()
def prove(gm: fx.GraphModule, known: Known) -> Known:
    """Return what is known of a graph after a pass; `gm` is tidied already.

    Raises:
        UnprovenError: naming the rule that does not hold.
    """
    _check_constants(gm)  # 1
    try:
        out = torch.cat([_Checked(gm).run(x) for x in torch.split(known.samples, _BATCH)])  # 2
    except UnprovenError:
        raise
    except Exception as e:
        raise UnprovenError(f"the graph no longer runs: {_first_line(e)}") from e
    _compare(out, known)  # 3
    return replace(known, last=out)


def _check_constants(gm: fx.GraphModule) -> None:
    for node in gm.graph.nodes:
        if node.op != "get_attr":
            continue
        try:
            constant(gm, node)
        except (AttributeError, AssertionError) as e:
            raise UnprovenError(f"the graph reads {node.target}, which is no tensor of it") from e


class _Checked(fx.Interpreter):
    """Runs a graph and compares each value with what the graph says of it."""

    def run_node(self, n: fx.Node) -> Any:
        """Return the value of one node."""
        value = super().run_node(n)
        if n.op == "call_function":
            told = _tensors(n.meta.get("val"))
            for index, got in enumerate(_tensors(value)):
                if index >= len(told):
                    raise UnprovenError(f"{n.name} has no shape in the graph")
                if not _fits(got, told[index]):
                    raise UnprovenError(f"{n.name} is {_words(got)} where the graph says {_words(told[index])}")
        return value


def _tensors(value: object) -> list[Tensor]:
    return [v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, Tensor)]


def _fits(got: Tensor, told: Tensor) -> bool:
    """Return whether a tensor has the dtype and the shape that were told; sizes that depend on the batch are free."""
    sizes = zip(got.shape, told.shape, strict=True) if got.ndim == told.ndim else [(0, 1)]
    return got.dtype == told.dtype and all(a == b for a, b in sizes if isinstance(b, int))


def _words(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} ({', '.join(str(s) for s in tensor.shape)})"


def _compare(out: Tensor, known: Known) -> None:
    if out.shape != known.first.shape:
        raise UnprovenError(f"the outputs are {tuple(out.shape)} and were {tuple(known.first.shape)}")
    for before, what in ((known.last, "before it"), (known.first, "of the network that came in")):
        if not _same_holes(out, before):
            raise UnprovenError(f"other outputs are not finite than {what}")
        difference = float((out - before).nan_to_num(0.0, 0.0, 0.0).abs().max())
        if difference > known.limit:
            raise UnprovenError(
                f"the outputs differ by {difference:.3g} from those {what}, whose largest is {known.largest:.3g}"
            )


def _same_holes(out: Tensor, before: Tensor) -> bool:
    return bool(torch.equal(out.isfinite(), before.isfinite()))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n", 1)[0][:200]
