"""Running passes one after the other, each on a copy, and keeping only what is proven."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx

from attendc.compress.graph import tidy
from attendc.compress.passes.outcome import Outcome
from attendc.compress.passes.prove import Known, UnprovenError, known_outputs, prove, random_samples
from attendc.context import Context
from attendc.errors import AttendcError, InternalError

__all__ = ["Pass", "run_passes"]

Pass = Callable[[fx.GraphModule], Outcome]


def run_passes(
    gm: fx.GraphModule,
    passes: Sequence[Pass],
    samples: Tensor | None = None,
    *,
    context: Context | None = None,
) -> fx.GraphModule:
    """Run each pass on a copy of the graph, and go on with the copy if it is proven; `gm` is left as it is.

    A pass that raises, breaks the graph or changes its outputs is named and left out. What was done is in
    `meta["notes"]` of the graph that is returned, a sentence each; `meta["passes"]` has a row for each pass.

    Args:
        gm: takes float32 (N, C, H, W).
        passes: in this order.
        samples: float32 (N, C, H, W) that outputs are compared on; random ones if there are none.
        context: where it is said that a pass was left out.

    Raises:
        AttendcError: of a pass that refuses the network, as it words it.
    """
    run = _Run(gm, known_outputs(gm, random_samples(gm) if samples is None else samples))
    notes: list[str] = [*gm.meta.get("notes", [])]
    rows: list[dict[str, Any]] = [*gm.meta.get("passes", [])]
    for one in passes:
        outcome, fault = run.tried(one)
        if fault:
            notes.append(f"the pass {one.__name__} is left out: {fault}")
            (context or Context()).warn(notes[-1])
        notes += outcome.notes
        rows.append({"pass": one.__name__, "changed": outcome.changed, "notes": [*outcome.notes], "left_out": fault})
    done = _copied(gm) if run.graph is gm else run.graph
    done.meta["notes"], done.meta["passes"] = notes, rows
    return done


class _Run:
    """The graph so far, and a copy of it for the next pass."""

    def __init__(self, graph: fx.GraphModule, known: Known) -> None:
        self.graph, self.known = graph, known
        self._copy: fx.GraphModule | None = None

    def tried(self, one: Pass) -> tuple[Outcome, str]:
        """Let a pass work on a copy; return what it did, and why that is not kept: nothing if it is."""
        copied, self._copy = self._copy or _copied(self.graph), None
        before = _state(copied)
        try:
            outcome = one(copied)
            if outcome.changed:
                tidy(outcome.graph)
                self.known = prove(outcome.graph, self.known)
                self.graph = outcome.graph
            elif _state(copied) != before:
                return self._nothing("it changed the graph and did not say so")
            else:
                self._copy = copied
        except UnprovenError as e:
            return self._nothing(str(e))
        except InternalError as e:
            return self._nothing(e.message)
        except AttendcError:
            raise
        except Exception as e:  # noqa: BLE001 - whatever a pass raises, the run goes on without it
            return self._nothing(f"it raised {type(e).__name__}: {_first_line(e)}")
        return outcome, ""

    def _nothing(self, fault: str) -> tuple[Outcome, str]:
        return Outcome(self.graph, changed=False, notes=()), fault


def _state(gm: fx.GraphModule) -> tuple[object, object]:
    """Return what tells whether a graph, or a tensor that it reads, was edited."""
    nodes = [(n, n.op, n.target, n.args, n.kwargs) for n in gm.graph.nodes]
    tensors = [*gm.named_parameters(), *gm.named_buffers()]
    return nodes, [(name, id(t), t._version) for name, t in tensors]


def _copied(gm: fx.GraphModule) -> fx.GraphModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, about how it copies the signature of a graph
        return copy.deepcopy(gm)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "nothing said").split("\n", 1)[0][:200]
