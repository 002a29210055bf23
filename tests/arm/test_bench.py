"""What files cost in several places: which files and places are meant, layers that sum up, entries for JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from arm.bench_nets import SIDE, chain, gated, plain_conv, silu_net

from attendc.arm.cores import core_of
from attendc.arm.limits import least_instructions, macs_an_instruction
from attendc.arm.measure.bench import bench, files_of, places_of
from attendc.arm.measure.layers import _Point, _sound, count_layers
from attendc.arm.measure.measured import Measured
from attendc.arm.measure.timing import TimeOptions
from attendc.context import Context
from attendc.errors import AttendcError, CheckpointError, ConversionError, UsageError
from attendc.jobs.bench import BenchRequest, bench_files

Entry = dict[str, Any]
CHANNELS = 16
CONV_MACS = SIDE * SIDE * CHANNELS**2


# Places


def test_places_are_cores_here_and_boards_each_once_in_their_order() -> None:
    texts = ["cortex-a76, local", "ssh:pi@board:2222,cortex-a72", "cortex-a76"]
    assert places_of(texts) == ("cortex-a76", "local", "ssh:pi@board:2222", "cortex-a72")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cortex-a77", r"no core 'cortex-a77'. Did you mean cortex-a7.\?"),
        ("ssh:", "'' is no host. Write ssh:user@host"),
        (" , ", "no place to measure in. For example --on"),
    ],
)
def test_other_places_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        places_of([text])


# Files


def test_a_folder_stands_for_its_tflite_and_onnx_files_each_once(tmp_path: Path) -> None:
    net = plain_conv(tmp_path, channels=CHANNELS)
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    (tmp_path / "manifest.json").write_text("{}")
    said: list[str] = []
    assert files_of([net, tmp_path, tmp_path / "." / "conv.tflite"], Context(say=said.append)) == [
        net,
        tmp_path / "model.onnx",
    ]
    assert said == [f"{tmp_path}: conv.tflite, model.onnx"]


def test_what_does_not_run_there_is_refused_by_its_format(tmp_path: Path) -> None:
    for name in ("model.int8.ts.pt", "model.savedmodel/saved_model.pb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    cases: dict[str, tuple[type[AttendcError], str]] = {
        "model.int8.ts.pt": (UsageError, r"is a \.ts\.pt: the runtimes there are LiteRT and onnxruntime"),
        "model.savedmodel": (UsageError, "is a SavedModel: the runtimes there"),
        "empty": (UsageError, r"holds no \.tflite and no \.onnx file"),
        "nothing.tflite": (CheckpointError, "no file .*nothing"),
    }
    for name, (error, said) in cases.items():
        with pytest.raises(error, match=said):
            files_of([tmp_path / name], Context())


def test_a_damaged_file_never_reaches_the_runtime(tmp_path: Path) -> None:
    (tmp_path / "torn.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(9))
    with pytest.raises(CheckpointError, match=r"torn\.tflite is damaged"):
        files_of([tmp_path / "torn.tflite"], Context())


# Limits


@pytest.mark.parametrize(
    ("dtype", "a76", "a72"), [("int8", 16, 8), ("dynamic", 16, 8), ("float32", 4, 4), ("int16", 4, 4)]
)
def test_the_limit_is_what_the_core_s_widest_instruction_does(dtype: str, a76: int, a72: int) -> None:
    assert [macs_an_instruction(dtype, core_of(name)) for name in ("cortex-a76", "cortex-a72")] == [a76, a72]


def test_the_least_instructions_are_of_each_type_by_its_own_limit() -> None:
    assert least_instructions({"int8": 1600, "float32": 400}, core_of("cortex-a76")) == 100 + 100


# Counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of files, two of which have several layers."""
    folder = tmp_path_factory.mktemp("nets")
    for write in (chain, gated, silu_net):
        more: tuple[object, ...] = {chain: (9,), gated: ("SOFTMAX",)}.get(write, ())
        write(folder, *more, channels=CHANNELS)
    return folder


@pytest.fixture(scope="module")
def counted(folder: Path, arm_machine: Path) -> dict[str, Measured]:
    """Return the three files, with layers, on the A76."""
    found = bench([folder], ["cortex-a76"], TimeOptions(), Context(), layers=True)
    return {measured.file.stem: measured for measured in found}


def known(measured: Measured) -> tuple[int, list[int]]:
    """Return the instructions of a file and of its layers."""
    assert measured.instructions is not None
    assert measured.layers is not None
    return measured.instructions, [layer.instructions for layer in measured.layers]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "kinds", "convolutions", "partitions"),
    [
        ("silu", ["CONV_2D", "SILU", "CONV_2D", "ADD"], 2, 1),
        ("softmax", ["CONV_2D", "SOFTMAX", "MUL", "CONV_2D"], 2, 2),
        ("chain", ["CONV_2D"] * 9, 9, 1),
    ],
)
def test_layers_sum_up_to_the_whole(
    counted: dict[str, Measured], net: str, kinds: list[str], convolutions: int, partitions: int
) -> None:
    measured = counted[net]
    instructions, layers = known(measured)
    assert [layer.kind for layer in measured.layers or ()] == kinds
    assert sum(layers) == instructions
    assert (measured.partitions, measured.all_macs, measured.notes) == (partitions, convolutions * CONV_MACS, ())


@pytest.mark.slow
def test_equal_layers_cost_the_same_wherever_a_part_begins(counted: dict[str, Measured]) -> None:
    # Nine equal convolutions in three parts. The first carries what an inference costs by itself.
    first, *others = known(counted["chain"])[1]
    assert max(others) < 1.05 * min(others)
    assert min(others) < first < min(others) + 10_000
    assert CONV_MACS / 16 < min(others) < CONV_MACS / 4


@pytest.mark.slow
def test_a_softmax_costs_more_than_the_convolution_before_it(counted: dict[str, Measured]) -> None:
    # XNNPACK has none in int8; LiteRT's own takes a look-up, a sum and a division for each of 4096 numbers.
    conv, softmax, *_ = known(counted["softmax"])[1]
    assert softmax > conv
    assert softmax > 10 * SIDE * SIDE * CHANNELS


@pytest.mark.slow
def test_the_share_of_the_limit_is_products_by_sixteen_by_instructions(counted: dict[str, Measured]) -> None:
    instructions, _ = known(counted["chain"])
    assert counted["chain"].share_of_limit == pytest.approx(9 * CONV_MACS / 16 / instructions)
    assert counted["chain"].macs_per_instruction == pytest.approx(9 * CONV_MACS / instructions)


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        ([(0, 10, 0), (1, 50, 1), (2, 90, 1), (3, 95, 2)], [0, 1, 2, 3]),
        ([(0, 10, 0), (1, 50, 1), (2, 45, 1), (3, 95, 1)], [0, 2, 3]),  # one layer costs more than two
        ([(0, 10, 0), (1, 50, 1), (2, 60, 1), (3, 48, 1)], [0, 3]),  # and than three
        ([(0, 10, 0), (1, 50, 2), (2, 60, 1), (3, 95, 1)], [0, 2, 3]),  # cut there, XNNPACK breaks off once more
    ],
)
def test_layers_that_a_cut_makes_dearer_are_joined_with_the_next(
    points: list[tuple[int, int, int]], kept: list[int]
) -> None:
    assert [point.layers for point in _sound([_Point(*point) for point in points])] == kept


@pytest.mark.slow
def test_layers_are_counted_in_as_many_processes_as_there_is_room_for(
    counted: dict[str, Measured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three convolutions are a part of two and one of one: two cuts, each of which is larger than a byte, so that each
    # has a process of its own; the file comes last. All that can be told apart are equal, as in the chain of nine.
    monkeypatch.setattr("attendc.arm.measure.layers._ROOM", 0)
    whole, layers, _ = count_layers(chain(tmp_path, 3), core_of("cortex-a76"), Context())
    assert sum(layer.instructions for layer in layers) == whole.instructions
    assert [layer.instructions for layer in layers] == pytest.approx(known(counted["chain"])[1][:3], abs=2_000)


def onnx_conv(path: Path, *, quantized: bool) -> Path:
    """Write a 1x1 convolution of 16x16 with 16 inputs and outputs."""
    kind = onnx.TensorProto.INT8 if quantized else onnx.TensorProto.FLOAT
    x, y = (onnx.helper.make_tensor_value_info(n, kind, [1, CHANNELS, SIDE, SIDE]) for n in "xy")
    shape = (CHANNELS, CHANNELS, 1, 1)
    weight = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8 if quantized else np.float32)
    scale, zero = np.array(0.05, np.float32), np.array(0, np.int8)
    constants = {"w": weight} | ({"s": scale, "z": zero} if quantized else {})
    inputs = ["x", "s", "z", "w", "s", "z", "s", "z"] if quantized else ["x", "w"]
    node = onnx.helper.make_node("QLinearConv" if quantized else "Conv", inputs, ["y"])
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = onnx.helper.make_graph([node], "conv", [x], [y], initializers)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def entries(folder: Path, arm_machine: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Entry]]:
    """Return the entries of a TFLite file and two of ONNX, here and on the A72, by the names of the files."""
    own = tmp_path_factory.mktemp("onnx")
    onnx_files = (onnx_conv(own / f"{name}.onnx", quantized=name == "int8") for name in ("int8", "float32"))
    request = BenchRequest(
        (folder / "silu.tflite", *onnx_files), ("local,cortex-a72",), TimeOptions(warmup=1, runs=6), output=own / "json"
    )
    found = bench_files(request, Context())
    assert json.loads((own / "json").read_text()) == found
    return {stem: [e for e in found if Path(e["file"]).stem == stem] for stem in ("silu", "int8", "float32")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["silu", "int8", "float32"])
def test_entries_have_counts_or_times_and_never_both(entries: dict[str, list[Entry]], name: str) -> None:
    local, counted = entries[name]
    assert (local["core"], counted["core"]) == ("local", "cortex-a72")
    assert {"milliseconds", "low", "high", "runs", "warmup", "threads", "machine", "clock_mhz"} <= local.keys()
    assert local["low"] <= local["milliseconds"] <= local["high"]
    assert {"instructions", "partitions", "macs", "macs_per_instruction", "share_of_limit"} <= counted.keys()
    assert not {"milliseconds", "runs"} & counted.keys()
    assert not {"instructions", "partitions", "macs"} & local.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "limit"), [("int8", 8), ("float32", 4)])
def test_onnx_has_products_and_no_partitions(entries: dict[str, list[Entry]], name: str, limit: int) -> None:
    entry = entries[name][1]
    assert (entry["partitions"], entry["operators"], entry["macs"]) == (None, None, CONV_MACS)
    assert entry["share_of_limit"] == pytest.approx(CONV_MACS / limit / entry["instructions"])


@pytest.mark.slow
def test_a_file_that_no_runtime_takes_is_named(tmp_path: Path, arm_machine: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no model")
    said: list[str] = []
    with pytest.raises(ConversionError, match=r"runtime on cortex-a76 cannot run .*no\.onnx: InvalidProto"):
        bench([tmp_path / "no.onnx"], ["cortex-a76"], TimeOptions(), Context(say=said.append), layers=True)
    assert said[0].startswith("layers are told of TFLite files only")
