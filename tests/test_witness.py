"""The witness is another implementation in another process, and its crash is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nets import Built
from torch import Tensor, nn

from attendc.compress.capture import capture
from attendc.compress.plan import apply_plan, plan_from_ranges
from attendc.converters.to_tflite import write_tflite
from attendc.errors import ConversionError
from attendc.qdq import output_params
from attendc.types import Preprocess, QuantParams, Stamp
from attendc.witness import ReferenceRunner

pytestmark = pytest.mark.slow  # each starts a process that imports tensorflow

SIZE = Preprocess(2, 2, 1, (0.0,), (1.0,))


def flat_softmax(path: Path, channels: int) -> Path:
    """Write a softmax over `channels` equal inputs: each output is 1 / channels."""
    conv = nn.Conv2d(1, channels, 1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    graph = capture(nn.Sequential(conv, nn.Softmax(1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), SIZE)
    ranges = {n.name: QuantParams((0.1,), (0,)) for n in graph.graph.nodes}
    write_tflite(path, apply_plan(graph, plan_from_ranges(graph, ranges)), Stamp("0", "0" * 64, (), SIZE))
    return path


def test_reference_kernels_are_within_two_steps_of_the_graph(
    files: dict[str, Path], built: Built, seen: Tensor
) -> None:
    step = output_params(built.quantized.graph)[0]
    y = ReferenceRunner(files["tflite"])(seen[:16])
    assert (y - built.quantized(seen[:16])).abs().max() <= 2.01 * step


def test_one_process_answers_many_batches(files: dict[str, Path], seen: Tensor) -> None:
    runner = ReferenceRunner(files["tflite"])
    assert torch.equal(torch.cat([runner(seen[:3]), runner(seen[3:5])]), runner(seen[:5]))


def test_kernels_that_abort_end_in_an_error_that_names_the_file(tmp_path: Path) -> None:
    runner = ReferenceRunner(flat_softmax(tmp_path / "flat.tflite", 744))
    with pytest.raises(ConversionError, match=r"cannot run flat\.tflite: SIGABRT"):
        runner(torch.zeros(1, 1, 2, 2))


def test_fewer_equal_channels_do_not_abort(tmp_path: Path) -> None:
    y = ReferenceRunner(flat_softmax(tmp_path / "flat.tflite", 64))(torch.zeros(1, 1, 2, 2))
    assert torch.allclose(y, torch.tensor(1 / 64), atol=1 / 256)
