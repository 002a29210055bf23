"""One network all the way: trained for seconds, quantized, written for every target, and compared on real images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from zoo.architectures import Member

import attendc
from attendc import parity
from attendc.checkpoint import Weights
from attendc.context import Context
from attendc.data.images import Dataset, evenly
from attendc.errors import ConversionError
from attendc.opening import Opened
from attendc.parity import Gates, Report
from attendc.stages.convert import Converted
from attendc.targets import FORMATS
from attendc.train import Task, TrainOptions, train
from attendc.types import Architecture, Preprocess, Spec

__all__ = ["Through", "check", "go_through"]

PREPROCESS = Preprocess(32, 32, 3, (0.286,), (0.353,), "pad")
TRAINING = TrainOptions(epochs=8, batch_size=50, lr=5e-3, flip=False, shift=0, label_smoothing=0.0)
IMAGES = 100


@dataclass(frozen=True)
class Through:
    """What was made of a network, and what a verification says of it."""

    converted: Converted
    report: Report


def go_through(member: Member, mini: Dataset, folder: Path) -> Through:
    """Do what `attendc quantize --to ...` does, with float operators allowed only where int8 was refused before."""
    opened = Opened(trained(member, mini), _spec(mini), Weights({}, None, "5eed" * 16))
    context, allowed = Context(), bool(member.refused)
    if member.refused:
        with pytest.raises(ConversionError, match=member.refused):
            attendc.quantize(opened, attendc.QuantizeConfig(calib=32), context)
    quantized = attendc.quantize(opened, attendc.QuantizeConfig(calib=32, allow_float=allowed), context)
    converted = attendc.convert(quantized, folder, attendc.ConvertConfig(to=FORMATS, allow_float=allowed), context)
    report, _ = parity.verify(
        converted.made,
        network=opened.model,
        graph=converted.graphs.quantized,
        images=evenly(mini.test, IMAGES),
        preprocess=PREPROCESS,
        gates=Gates(member.agreement, member.drop),
        context=context,
        witnesses=False,  # a process each; tests of theirs are elsewhere
    )
    return Through(converted, report)


def check(member: Member, found: Through) -> None:
    """Check that all eight files are there and hold and compute what their graphs do."""
    report = found.report
    assert len(found.converted.made) == 2 * len(FORMATS)
    assert (report.failures, report.accuracy_failures) == ((), ())
    assert (report.scales_equal, report.weights_equal) == (True, True)
    floats = [pair for pair in report.pairs if pair.a == "float" and pair.gated]
    assert len(floats) == len(FORMATS)
    assert {pair.b: pair.top1_agreement for pair in floats} == {pair.b: 1.0 for pair in floats}
    assert max(pair.max_lsb for pair in floats) <= 0.02  # of a step of the int8 output
    integers = {pair.b: pair.sqnr_db for pair in report.pairs if pair.a == "graph"}
    assert set(integers) == set(FORMATS)
    assert min(integers.values()) >= member.sqnr_db, integers


def trained(member: Member, mini: Dataset) -> nn.Module:
    """Return the network in eval mode, as 96 steps on 600 images leave it: most classes are told apart."""
    torch.manual_seed(0)
    network = member.build()
    train(network, Task(evenly(mini.train, 600), evenly(mini.test, 20), PREPROCESS), TRAINING, Context())
    return network.eval()


def _spec(mini: Dataset) -> Spec:
    return Spec(Architecture("zoo.architectures:member"), PREPROCESS, mini.labels, "fashion-mnist-mini")
