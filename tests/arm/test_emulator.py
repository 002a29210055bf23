"""Files on emulated cores: exact counts that repeat, the bytes that x86 gives, and processes that end badly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from arm.bench_nets import SIDE, gated, plain_conv
from arm.one_op import T, one

from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.errors import ConversionError, UsageError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("arm_machine")]

CHANNELS = 64
MACS = SIDE * SIDE * CHANNELS**2
X = np.random.default_rng(1).integers(-128, 128, (2, SIDE, SIDE, 16)).astype(np.int8)


def small_onnx(path: Path) -> Path:
    """Write x + x."""
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 4]) for n in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "x"], ["y"])], "twice", [x], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    folder = tmp_path_factory.mktemp("emulated")
    (folder / "no.onnx").write_bytes(b"no model")
    conv = plain_conv(folder / "int8", channels=CHANNELS)
    sigmoid = gated(folder, "LOGISTIC")
    onnx_file = small_onnx(folder / "twice.onnx")
    return {
        "conv": Task("count", conv),
        "conv float32": Task("count", plain_conv(folder / "float32", channels=CHANNELS, dtype="float32")),
        "no model": Task("count", folder / "no.onnx"),
        "conv again": Task("count", conv),
        "conv brief": Task("count", conv, brief=True),
        "sigmoid": Task("count", sigmoid),
        "softmax": Task("count", gated(folder, "SOFTMAX")),
        "sigmoid run": Task("run", sigmoid, X),
        "onnx": Task("count", onnx_file),
        "onnx run": Task("run", onnx_file, np.arange(12, dtype=np.float32).reshape(3, 4)),
    }


def answers_of(core: str, tasks: dict[str, Task]) -> dict[str, Answer]:
    return dict(zip(tasks, emulate(core_of(core), list(tasks.values())), strict=True))


@pytest.fixture(scope="module")
def a76(tasks: dict[str, Task], arm_machine: Path) -> dict[str, Answer]:
    return answers_of("cortex-a76", tasks)


@pytest.fixture(scope="module")
def a72(tasks: dict[str, Task], arm_machine: Path) -> dict[str, Answer]:
    return answers_of("cortex-a72", {name: tasks[name] for name in ("conv", "conv float32", "sigmoid run")})


def known(value: int | None) -> int:
    assert value is not None
    return value


def test_a_convolution_takes_more_instructions_than_products_fit_into(
    a76: dict[str, Answer], a72: dict[str, Answer]
) -> None:
    # SDOT does 16 products of int8; XNNPACK's kernel 4x16 loads 4 + 8 registers for its 64 SDOTs, reaching 13.5 in its
    # inner loop, and 64 channels are few steps of it. Twice what is possible is far from any other kernel.
    assert MACS / 16 < known(a76["conv"].instructions) < MACS / 8
    # SMLAL does 8, and every two of them need a SADALP: 16 in three instructions at best.
    assert MACS * 3 / 16 < known(a72["conv"].instructions) < MACS / 2
    # FMLA does 4 products of float32, on both.
    for answers in (a76, a72):
        assert MACS / 4 < known(answers["conv float32"].instructions) < MACS / 2


def test_counts_repeat_within_one_percent(a76: dict[str, Answer], tasks: dict[str, Task]) -> None:
    [other_process] = emulate(core_of("cortex-a76"), [tasks["conv"]])
    first = known(a76["conv"].instructions)
    for again in (a76["conv again"], other_process):
        assert known(again.instructions) == pytest.approx(first, rel=0.01)


def test_a_brief_count_is_of_one_inference_and_its_call(a76: dict[str, Answer]) -> None:
    brief, whole = a76["conv brief"], a76["conv"]
    assert brief.instructions is None
    assert 0 < known(brief.called) - known(whole.instructions) < 10_000


def test_xnnpack_runs_a_sigmoid_and_breaks_off_for_a_softmax(a76: dict[str, Answer]) -> None:
    # conv, gate, product, conv: all of them are one partition, or the softmax stands between two.
    assert [(a76[n].partitions, a76[n].operators) for n in ("sigmoid", "softmax")] == [(1, 4), (2, 4)]


def on_x86(file: Path, images: Any) -> Any:
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(target["index"])[0])
    return np.stack(found)


def test_both_cores_give_the_bytes_that_x86_gives(
    a76: dict[str, Answer], a72: dict[str, Answer], tasks: dict[str, Task]
) -> None:
    here = on_x86(tasks["sigmoid run"].file, X)
    assert len(np.unique(here)) > 50
    for there in (a76["sigmoid run"].outputs, a72["sigmoid run"].outputs):
        assert there is not None
        assert there.dtype == np.int8
        assert np.array_equal(there, here)


def test_onnx_is_counted_and_run_without_partitions(a76: dict[str, Answer]) -> None:
    assert known(a76["onnx"].instructions) > 0
    assert (a76["onnx"].partitions, a76["onnx"].operators) == (None, None)
    outputs = a76["onnx run"].outputs
    assert outputs is not None
    assert outputs.tolist() == (2 * np.arange(12).reshape(3, 4)).tolist()


def test_a_file_that_the_runtime_refuses_does_not_stop_the_others(a76: dict[str, Answer]) -> None:
    assert "InvalidProtobuf" in a76["no model"].error
    assert a76["no model"].instructions is None
    assert not a76["conv again"].error


def test_no_task_needs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert emulate(core_of("cortex-a76"), []) == []


def test_the_file_that_brings_the_runtime_down_is_named(tmp_path: Path, temporary: Path) -> None:
    good = plain_conv(tmp_path / "good", channels=16)
    shape = (1, 4, 4, 16)
    # Its fixed-point form needs a shift by more than 30 bits, over which LiteRT aborts: see attendc/tflite_check.py
    bad = one(
        tmp_path, "LEAKY_RELU", T(shape, scale=(1e30,)), T(shape, scale=(1e-30,)), {"alpha": 0.1}, "LeakyReluOptions"
    )
    with pytest.raises(ConversionError, match=r"leaky_relu\.tflite brought the runtime on cortex-a76 down \(SIG"):
        emulate(core_of("cortex-a76"), [Task("count", good), Task("count", bad), Task("count", good)])
    assert list(temporary.iterdir()) == []


def test_a_process_that_falls_silent_is_stopped(tasks: dict[str, Task], temporary: Path) -> None:
    with pytest.raises(ConversionError, match="no word for 0 s"):
        emulate(core_of("cortex-a76"), [tasks["conv"]], silence_s=0.0)
    assert list(temporary.iterdir()) == []


def test_without_the_machine_it_is_said_what_to_type(
    tasks: dict[str, Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTENDC_ARM", str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match=r"no emulated machine in .*nothing.*attendc arm setup"):
        emulate(core_of("cortex-a76"), [tasks["conv"]])


INTERRUPTED = """
import sys
from pathlib import Path
from attendc.arm.cores import core_of
from attendc.arm.emulation.emulator import Task, emulate
emulate(core_of("cortex-a76"), [Task("count", Path(sys.argv[1]))] * 10_000)
"""


def test_an_interrupt_ends_the_emulator_and_leaves_no_folder(tasks: dict[str, Task], tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tasks["conv"].file)]
    with subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size for path in tmp_path.glob("*/results")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.glob("*/results"))  # the emulator is at its first task
        process.send_signal(signal.SIGINT)  # to it alone, as a supervisor would; what it started is its own to end
        process.wait(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody of its session is left
