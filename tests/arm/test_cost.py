"""The cost table against figures that were measured by hand before there was one, and against the emulated cores."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from arm.cost_nets import NETS

from attendc.arm.cores import CORES
from attendc.arm.cost.cost import instructions, is_measured, overhead, predict, tile_of
from attendc.arm.emulation.emulator import Task, emulate
from attendc.arm.ops import Op, ops_of_model
from attendc.errors import UsageError

A76, A72 = "cortex-a76", "cortex-a72"


def column(channels: int, *, side: int = 28) -> Op:
    """Return a 3x3 convolution of 4 columns with as many inputs as outputs."""
    return Op("CONV_2D", "int8", 4 * channels, 4 * channels, 4, (3, 3), (1, 1), side, side)


def dense(outputs: int) -> Op:
    """Return a 3x3 convolution of 32 channels."""
    return Op("CONV_2D", "int8", 32, outputs, 1, (3, 3), (1, 1), 28, 28)


@pytest.mark.parametrize(
    ("channels", "side", "expected"),
    [
        *((8, 56, 3.2), (10, 56, 3.8), (16, 28, 8.7), (20, 28, 5.7), (24, 28, 7.3), (32, 28, 10.5), (44, 14, 9.9)),
        *((48, 14, 11.2), (93, 7, 10.5), (96, 7, 11.2)),  # 49 pixels fill 13 rows of tiles, 52, the last not quite
    ],
)
def test_macs_an_instruction_by_channels_a_column(channels: int, side: int, expected: float) -> None:
    op = column(channels, side=side)
    assert op.macs / instructions(op, A76) == pytest.approx(expected, rel=0.03)


def test_a_column_of_10_costs_nine_tenths_of_one_of_16() -> None:
    assert instructions(column(10), A76) / instructions(column(16), A76) == pytest.approx(0.9, abs=0.03)


def test_the_tile_is_16_outputs_wide_with_dot_product_and_8_on_the_a72() -> None:
    assert (tile_of(A76).columns, tile_of("neoverse-n1").columns, tile_of(A72).columns) == (16, 16, 8)
    a76, a72 = ({n: instructions(dense(n), core) for n in (8, 9, 16, 17, 32)} for core in (A76, A72))
    assert a76[9] == pytest.approx(a76[16], rel=0.02)
    assert a76[8] == pytest.approx(a76[16], rel=0.02)
    assert a76[17] == pytest.approx(a76[32], rel=0.02)
    assert a76[32] / a76[16] == pytest.approx(2, rel=0.05)
    assert a72[9] == pytest.approx(a72[16], rel=0.02)
    assert a72[16] / a72[8] == pytest.approx(2, rel=0.05)


def test_silu_is_one_look_up_and_hard_swish_costs_three_times_as_much() -> None:
    op = Op("SILU", "int8", 64, 64, height=28, width=28)
    assert instructions(op, A76) / op.elements < 0.7
    assert instructions(replace(op, kind="HARD_SWISH"), A76) > 3 * instructions(op, A76)


def test_a_depthwise_kernel_beyond_25_taps_is_run_a_channel_at_a_time() -> None:
    op = Op("DEPTHWISE_CONV_2D", "int8", 32, 32, 32, (5, 5), (1, 1), 14, 14)
    assert instructions(replace(op, kernel=(7, 7)), A76) > 20 * instructions(op, A76)  # twice the taps


@pytest.mark.parametrize("core", CORES)
def test_more_work_costs_more(core: str) -> None:
    for op in (column(12), dense(24), Op("ADD", "int8", 40, 40, height=14, width=14)):
        taller = replace(op, height=2 * op.height)
        assert 0 < instructions(op, core) < instructions(taller, core) <= 2 * instructions(op, core)


def test_a_network_costs_its_operators_and_a_call_of_the_runtime_and_of_each_partition() -> None:
    conv, softmax = column(16), Op("SOFTMAX", "int8", 64, 64, height=28, width=28)
    alone = instructions(conv, A76) * 2 + instructions(softmax, A76)
    assert predict([conv, softmax, conv], A76) == pytest.approx(alone + overhead(2, A76))
    assert predict([softmax, conv, conv], A76) == pytest.approx(alone + overhead(1, A76))
    assert 100 < overhead(2, A76) - overhead(1, A76) < 1000 < 4000 < overhead(0, A76) < 5000


def test_an_operator_that_was_never_measured_is_said_to_be_so_and_costs_by_its_elements() -> None:
    op = Op("CUMSUM", "int8", 8, 8, height=10, width=10)
    assert not is_measured(op)
    assert instructions(replace(op, width=20), A76) == 2 * instructions(op, A76) > 0
    assert is_measured(column(10))
    assert not is_measured(replace(column(10), dtype="int16"))
    assert instructions(replace(column(10), dtype="int16"), A76) == instructions(
        replace(column(10), dtype="float32"), A76
    )


def test_a_transposed_convolution_goes_as_one_of_as_many_multiply_accumulates() -> None:
    op = Op("TRANSPOSE_CONV", "int8", 32, 16, 1, (4, 4), (2, 2), 28, 28)
    dense = Op("CONV_2D", "int8", 32, 16, 1, (2, 2), (1, 1), 28, 28)
    assert not is_measured(op)
    assert op.macs == dense.macs
    assert instructions(op, A76) == instructions(dense, A76)


def test_an_unknown_core() -> None:
    with pytest.raises(UsageError, match="no core 'cortex-a7x'"):
        instructions(column(16), "cortex-a7x")


def test_the_table_is_small_has_every_core_and_tells_its_errors() -> None:
    text = files("attendc.arm.cost").joinpath("table.json").read_text(encoding="utf-8")
    table = json.loads(text)
    assert len(text) < 100_000
    assert all(set(row["cores"]) == set(row["errors"]) == set(CORES) for row in table["kinds"].values())
    medians = [row["errors"][core][0] for key, row in table["kinds"].items() if "MATRIX/int8" in key for core in CORES]
    assert max(medians) < 5  # percent, on shapes that the fit was not told of


@pytest.mark.slow
@pytest.mark.usefixtures("arm_machine")
@pytest.mark.parametrize("core", [A72, A76])
def test_small_networks_that_the_fit_never_saw_cost_what_is_predicted(core: str, tmp_path: Path) -> None:
    nets = {name: make() for name, make in NETS.items()}
    tasks = [Task("count", net.write(tmp_path / f"{name}.tflite")) for name, net in nets.items()]
    counted = [answer.instructions or 0 for answer in emulate(CORES[core], tasks)]
    predicted = [predict(ops_of_model(net.finished()), core) for net in nets.values()]
    errors = {name: p / c - 1 for name, p, c in zip(nets, predicted, counted, strict=True)}
    assert statistics.median(map(abs, errors.values())) < 0.05, errors
    assert max(map(abs, errors.values())) < 0.10, errors
