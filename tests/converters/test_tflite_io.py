"""Other types at the border of an int8 TFLite file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nets import STAMP, Built
from torch import Tensor

from attendc.converters.read_tflite import inspect_tflite, tflite_quant_table
from attendc.converters.tflite_io import IO_TYPES
from attendc.converters.to_tflite import write_tflite
from attendc.runtimes import tflite_runner

pytestmark = pytest.mark.slow  # TensorFlow's interpreter is loaded


@pytest.fixture(scope="module")
def by_type(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the mixed net with each type at its border."""
    paths = {io: tmp_path_factory.mktemp("io") / io for io in IO_TYPES}
    for io, path in paths.items():
        write_tflite(path, built.quantized, STAMP, io=io)
    return paths


@pytest.mark.parametrize("io", ["uint8", "float32"])
@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
def test_the_outputs_are_those_of_the_int8_file(io: str, kernels: str, by_type: dict[str, Path], seen: Tensor) -> None:
    int8, other = (tflite_runner(by_type[k], kernels=kernels)(seen[:20]) for k in ("int8", io))  # type: ignore[arg-type]
    assert torch.allclose(int8, other, atol=1e-5)
    assert torch.equal(int8.argmax(1), other.argmax(1))


@pytest.mark.parametrize("io", IO_TYPES)
def test_input_and_output_have_the_type(io: str, by_type: dict[str, Path]) -> None:
    facts = inspect_tflite(by_type[io])
    assert [v["dtype"] for v in (*facts["inputs"], *facts["outputs"])] == [io, io]
    assert [v["name"] for v in (*facts["inputs"], *facts["outputs"])] == ["image", "logits"]


@pytest.mark.parametrize(("io", "added"), [("uint8", {"QUANTIZE": 2}), ("float32", {"QUANTIZE": 1, "DEQUANTIZE": 1})])
def test_only_the_border_is_added(io: str, added: dict[str, int], by_type: dict[str, Path]) -> None:
    facts, plain = inspect_tflite(by_type[io]), inspect_tflite(by_type["int8"])
    assert facts["ops"] == {**plain["ops"], **added}
    assert (facts["float_ops"], facts["inner_quantize_ops"]) == (0, 0)


def test_uint8_is_int8_shifted_by_128(by_type: dict[str, Path]) -> None:
    (shifted,), (plain,) = (inspect_tflite(by_type[io])["inputs"] for io in ("uint8", "int8"))
    assert (shifted["scale"], shifted["zero_point"]) == (plain["scale"], plain["zero_point"] + 128)


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_the_numbers_inside_are_the_same(io: str, by_type: dict[str, Path]) -> None:
    tables = [tflite_quant_table(by_type[k]) for k in ("int8", io)]
    assert len({frozenset(t.activations.values()) for t in tables}) == 1
    assert [*tables[0].layers.values()] == [*tables[1].layers.values()]
