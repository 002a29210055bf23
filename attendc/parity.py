"""Proof that artefacts compute what the graph computes: outputs on real images, and every scale and integer.

Two families are compared. The int8 family is the quantized graph and the files made from it, which must agree; so
must the float network and its float32 files. Between the families stands quantization itself: what it costs is
measured as agreement too, but gated as accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, fx

from attendc.context import Context
from attendc.data.images import Images
from attendc.data.preprocess import batches
from attendc.errors import ConversionError
from attendc.gates import check_verification, points_lost
from attendc.metrics import count_macs, distance_in_steps, sqnr_db, top1_accuracy, top1_agreement
from attendc.on_cores import BytesOnCore, check_files, compare_bytes, run_on_cores
from attendc.qdq import output_params
from attendc.read_back import read_back, reference_graph
from attendc.runners import runners_of
from attendc.runtimes import Runner
from attendc.targets import BY_TENSORFLOW, FLOAT, WITNESS, Candidate, are_compared, family_of, is_quantized
from attendc.types import Preprocess

__all__ = [
    "WITNESS",
    "Candidate",
    "Gates",
    "Pair",
    "Report",
    "check_gates",
    "default_images",
    "verify",
]

WITNESS_MACS = 6_000_000_000
"""Reference kernels run about 0.3 G MACs a second: the witness sees as many images as this pays for, 16 at least."""
FEWEST_WITNESSED = 16
_BATCH = 50
_WITNESSES = (WITNESS, BY_TENSORFLOW)
"""They are not attendc's own files: where one cannot be run, that is said and nothing else."""


@dataclass(frozen=True)
class Gates:
    """Attributes:
    min_agreement: least top-1 agreement (0..1) of any two of one family.
    max_drop_points: most accuracy, in points of percent, that an int8 artefact may lose against float.
    """

    min_agreement: float = 0.99
    max_drop_points: float = 1.0


@dataclass(frozen=True)
class Pair:
    """How two runners compare on `images` images; `max_lsb` and `mean_lsb` in steps of the int8 output's scale.

    `gated` tells whether both are of one family, so that `min_agreement` holds for them.
    """

    a: str
    b: str
    images: int
    top1_agreement: float
    max_lsb: float
    mean_lsb: float
    sqnr_db: float
    gated: bool


@dataclass(frozen=True)
class Report:
    """What was found; `failures` are sentences, empty if every gate held; `on` tells of the bytes on emulated cores."""

    images: int
    accuracy: dict[str, float]
    pairs: tuple[Pair, ...]
    scales_equal: bool | None
    weights_equal: bool | None
    failures: tuple[str, ...] = ()
    accuracy_failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    on: tuple[BytesOnCore, ...] = ()

    @property
    def passed(self) -> bool:
        """Return whether every gate held."""
        return not self.failures and not self.accuracy_failures

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "passed": self.passed}


def default_images(network: torch.nn.Module, preprocess: Preprocess) -> int:
    """Return how many images a verification looks at unless told: 2000, or 500 from 50 M MACs on."""
    return 2000 if count_macs(network, preprocess.input_shape) < 50_000_000 else 500


def verify(
    candidates: Sequence[Candidate],
    *,
    network: torch.nn.Module,
    graph: fx.GraphModule | None,
    images: Images,
    preprocess: Preprocess,
    gates: Gates,
    context: Context,
    has_labels: bool = True,
    witnesses: bool = True,
    cores: Sequence[str] = (),
) -> tuple[Report, dict[str, Tensor]]:
    """Run everything on `images` and compare; `network` is the float one, `graph` the quantized one if there is any.

    `witnesses`: ask TensorFlow too, its reference kernels and its own converter; a process each. `cores`: run the
    TFLite and ONNX files on these emulated cores too.

    Return the report, and the logits (N, classes) of each runner by its name.

    A runner that saw fewer images (the witness) has the logits of the first N.
    """
    check_files(candidates, cores)
    makers = runners_of(candidates, network, graph)
    if not witnesses:
        makers = {name: make for name, make in makers.items() if name not in _WITNESSES}
    outputs, notes = _outputs(makers, network, images, preprocess, context)
    outputs |= run_on_cores(candidates, cores, images, preprocess, context)
    step = output_params(graph.graph)[0] if graph is not None else _float_step(outputs[FLOAT])
    pairs = tuple(_pair(a, b, outputs, step) for a, b in combinations(outputs, 2) if are_compared(a, b))
    targets = torch.from_numpy(images.targets)
    reached = {n: top1_accuracy(o, targets[: len(o)]) for n, o in outputs.items()} if has_labels else {}
    scales, weights, failures = read_back(candidates, graph)
    failures += _agreement_failures(pairs, gates, candidates, graph, images, preprocess)
    report = Report(
        len(images),
        reached,
        pairs,
        scales,
        weights,
        tuple(failures),
        tuple(_accuracy_failures(reached, len(images), gates)),
        tuple(notes),
        compare_bytes(candidates, cores, outputs, images, preprocess, step=step) if cores else (),
    )
    return report, outputs


def _outputs(
    makers: Mapping[str, Callable[[], Runner]],
    network: torch.nn.Module,
    images: Images,
    preprocess: Preprocess,
    context: Context,
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the logits of each runner, and what is to be said about the witness."""
    macs = count_macs(network, preprocess.input_shape)
    witnessed = min(len(images), max(FEWEST_WITNESSED, WITNESS_MACS // max(macs, 1)))
    outputs: dict[str, Tensor] = {}
    notes: list[str] = []
    for name, make in makers.items():
        count = witnessed if name == WITNESS else len(images)
        try:
            outputs[name] = _run(name, make(), images, preprocess, count, context)
        except ConversionError as e:
            if name not in _WITNESSES:
                raise
            context.warn(f"{name} gives no evidence: {e}")
            notes.append(f"{name} gives no evidence: {e}")
    if WITNESS in outputs:
        notes.append(f"{WITNESS} saw {witnessed} of {len(images)} images")
    return outputs, notes


def check_gates(report: Report) -> None:
    """Refuse a report with failures.

    Raises:
        ParityError: if artefacts differ from their graph.
        AccuracyError: if they do not, but int8 lost too much accuracy.
    """
    check_verification(report.as_json())


def _run(name: str, runner: Runner, images: Images, preprocess: Preprocess, count: int, context: Context) -> Tensor:
    """Return the logits (count, classes)."""
    found = []
    with context.progress(f"verify {name}", count) as advance:
        for x, _ in batches(images, preprocess, batch_size=_BATCH, indices=range(count)):
            found.append(runner(x))
            advance(len(x), "")
    return torch.cat(found)


def _pair(a: str, b: str, outputs: Mapping[str, Tensor], step: float) -> Pair:
    count = min(len(outputs[a]), len(outputs[b]))
    x, y = outputs[a][:count], outputs[b][:count]
    largest, mean = distance_in_steps(x, y, step)
    return Pair(
        a,
        b,
        count,
        top1_agreement(x, y),
        round(largest, 3),
        round(mean, 5),
        round(min(sqnr_db(x, y), 999.0), 2),
        gated=family_of(a) == family_of(b),
    )


def _float_step(logits: Tensor) -> float:
    """Return the step that an int8 output of this range would have, to measure float files by."""
    return max(float(logits.max() - logits.min()) / 255, 1e-30)


def _agreement_failures(
    pairs: Sequence[Pair],
    gates: Gates,
    candidates: Sequence[Candidate],
    graph: fx.GraphModule | None,
    images: Images,
    preprocess: Preprocess,
) -> list[str]:
    failures = []
    for pair in pairs:
        if not pair.gated or pair.top1_agreement >= gates.min_agreement:
            continue
        text = (
            f"{pair.a} and {pair.b} agree on {pair.top1_agreement:.2%} of {pair.images} images, "
            f"{gates.min_agreement:.2%} are due"
        )
        culprit = next((c for c in candidates if c.name in (pair.b, pair.a) and _has_layers(c)), None)
        if graph is not None and culprit is not None:
            from attendc.layer_diff import first_difference

            x, _ = next(batches(images, preprocess, batch_size=16))
            reference = reference_graph(graph, family_of(culprit.name))
            text += f" ({first_difference(reference, culprit.format, culprit.path, x)})"
        failures.append(text)
    return failures


def _has_layers(one: Candidate) -> bool:
    """Return whether the integers of every layer can be looked at when the file runs."""
    return (one.format, one.dtype) in (("tflite", "int8"), ("tflite", "int16"), ("onnx", "int8"))


def _accuracy_failures(reached: Mapping[str, float], images: int, gates: Gates) -> list[str]:
    """Return a sentence for each quantized artefact, and the graph, that lost more than allowed against float."""
    failures = []
    for name, value in reached.items():
        drop = points_lost(reached[FLOAT], value)
        if is_quantized(name) and name != WITNESS and drop > gates.max_drop_points:
            failures.append(
                f"{name} reaches {value:.2%} of {images} images, float {reached[FLOAT]:.2%}: "
                f"{drop:.2f} points lost, {gates.max_drop_points} allowed"
            )
    return failures
