"""Truncated and hand-edited artefacts: each ends in one line that names the file, or is a file after all.

Each file is read in a process that is forked for it: a crash is a failure of its own test, not the end of all of them.
"""

from __future__ import annotations

import os
import random
import signal
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from nets import SMALL_SPEC, STAMP, Built
from torch import Tensor

from attendc.arm.check.check import check_file
from attendc.converters.program import load_program, save_program
from attendc.converters.read_onnx import inspect_onnx, onnx_quant_table
from attendc.converters.read_tflite import inspect_tflite, tflite_quant_table
from attendc.converters.tflite_schema import read_model, write_model
from attendc.converters.to_savedmodel import GRAPH_FILE
from attendc.errors import AttendcError, CheckpointError
from attendc.jobs.inspect import inspect_file
from attendc.request import CheckpointRequest
from attendc.runtimes import onnx_runner, tflite_runner, torchscript_runner

pytestmark = pytest.mark.slow  # the shared files are built

X = torch.zeros(1, 1, 8, 8)
SEED = 5


def drawn(path: Path) -> None:
    """Read the facts and the layers of a file, and draw them; the drawing is well-formed, whatever the file says."""
    drawing = path.with_suffix(".svg")
    inspect_file(CheckpointRequest(path), drawing=drawing, force=True)
    ET.fromstring(drawing.read_text(encoding="utf-8"))


def checked(path: Path) -> None:
    """Tell what a file will cost."""
    check_file(path, ["cortex-a72"])


READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    "tflite": (inspect_tflite, tflite_quant_table, lambda path: tflite_runner(path)(X), drawn, checked),
    "onnx": (inspect_onnx, onnx_quant_table, lambda path: onnx_runner(path)(X), drawn),
    "pt2": (lambda path: load_program(path).graph(X), drawn),
    "torchscript_float32": (lambda path: torchscript_runner(path)(X), drawn),
    "torchscript": (drawn,),
    "savedmodel": (drawn,),
}
"""All that attendc does with a file of each kind."""

FLIPS = {"tflite": 60, "onnx": 60, "pt2": 12, "torchscript_float32": 20, "torchscript": 40, "savedmodel": 60}


@pytest.fixture(scope="module")
def whole(
    files: dict[str, Path],
    torchscript_int8: Path,
    savedmodels: dict[str, Path],
    built: Built,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Return a file of each kind. Copy one before changing it."""
    program = tmp_path_factory.mktemp("whole") / "model.pt2"
    save_program(program, built.quantized, SMALL_SPEC, STAMP)
    graph = savedmodels["savedmodel"] / GRAPH_FILE
    return {**files, "pt2": program, "torchscript": torchscript_int8, "savedmodel": graph}


NAMES = {"torchscript_float32": "model.pt", "torchscript": "model.pt", "savedmodel": GRAPH_FILE}


def at(folder: Path, kind: str) -> Path:
    """Return where a file of a kind stands in a folder."""
    return folder / NAMES.get(kind, f"model.{kind}")


def given(path: Path) -> Path:
    """Return what a reader is given to read a file: of a SavedModel its folder."""
    return path.parent if path.name == GRAPH_FILE else path


def damages(content: bytes, flips: int) -> Iterator[tuple[str, bytes]]:
    """Yield broken versions of a file, and what was done to each."""
    for parts in range(16):
        yield f"cut to {parts} of 16", content[: len(content) * parts // 16]
    yield "cut by one byte", content[:-1]
    yield "text", b"once upon a time\n" * 40
    yield "zeros", bytes(len(content))
    yield "twice", content + content
    draw = random.Random(SEED)
    for number in range(flips):
        changed = bytearray(content)
        for _ in range(1 + 7 * (number % 4 == 0)):
            changed[draw.randrange(len(content))] = draw.choice((0, 1, 127, 255, draw.randrange(256)))
        yield f"flipped {number}", bytes(changed)


def outcome(read: Callable[[Path], object], path: Path) -> str:
    """Return `reads`, the one line of the error, or what is wrong with the way it ends."""
    try:
        read(given(path))
    except AttendcError as e:
        line = str(e)
        is_one = isinstance(e, CheckpointError) and "\n" not in line and given(path).name in line
        return line if is_one else f"FAULT {e!r}"
    except BaseException as e:  # noqa: BLE001 - whatever it is, it must not reach the user
        return f"FAULT {e!r}"
    return "reads"


def apart(work: Callable[[], list[str]]) -> list[str]:
    """Do the work in a forked process and return its lines; the last names the signal that ended it."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(source)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        with os.fdopen(sink, "w") as answers:
            for line in work():
                print(line.replace("\n", " | "), file=answers, flush=True)
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as answers:
        lines = answers.read().splitlines()
    _, status = os.waitpid(pid, 0)
    return [*lines, f"FAULT {signal.Signals(os.WTERMSIG(status)).name}"] if os.WIFSIGNALED(status) else lines


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork")  # jax, which litert_torch brings, warns; no child uses it
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_ends_in_one_line_or_is_a_file_after_all(
    kind: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    content, path = whole[kind].read_bytes(), at(tmp_path, kind)

    def read_all() -> Iterator[str]:
        for what, damaged in damages(content, FLIPS[kind]):
            path.write_bytes(damaged)
            for number, read in enumerate(READERS[kind]):
                yield f"{what}, reader {number}: {outcome(read, path)}"

    lines = apart(read_all)
    assert [line for line in lines if "FAULT" in line] == []
    assert len(lines) == (20 + FLIPS[kind]) * len(READERS[kind])
    named = [line for line in lines if not line.endswith("reads")]
    assert len(named) >= 15 * len(READERS[kind])
    assert not any(line.endswith("reads") for line in lines if line.startswith(("cut to", "text", "zeros")))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("what", ["absent", "empty", "folder", "another's"])
def test_what_is_no_such_file_is_named(what: str, kind: str, whole: dict[str, Path], tmp_path: Path) -> None:
    path = at(tmp_path, kind)
    if what == "folder":
        path.mkdir()
    elif what != "absent":
        other = "tflite" if kind == "onnx" else "onnx"
        path.write_bytes(whole[other].read_bytes() if what == "another's" else b"")
    assert [o for r in READERS[kind] if "FAULT" in (o := outcome(r, path)) or o == "reads"] == []


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_what_may_not_be_read_is_named(kind: str, whole: dict[str, Path], tmp_path: Path) -> None:
    path = at(tmp_path, kind)
    path.write_bytes(whole[kind].read_bytes())
    path.chmod(0)
    assert [o for r in READERS[kind] if "FAULT" in (o := outcome(r, path)) or o == "reads"] == []


def test_an_archive_that_says_it_is_encrypted_is_named(whole: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(whole["pt2"].read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flags of the last entry of its directory
    (tmp_path / "x.pt2").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pt2 is no quantized graph of attendc's: .* is encrypted"):
        load_program(tmp_path / "x.pt2")


# What LiteRT would end the process over


def edited(source: Path, target: Path, change: Callable[[object, object], None]) -> Path:
    """Write a .tflite after `change` of its graph and of its second operator, a convolution."""
    model = read_model(source)
    graph = model.subgraphs[0]
    change(graph, graph.operators[1])
    write_model(target, model)
    return target


def scale_out(graph, operator) -> None:  # type: ignore[no-untyped-def]
    graph.tensors[operator.outputs[0]].quantization.scale = [1e-12]


def scale_zero(graph, operator) -> None:  # type: ignore[no-untyped-def]
    graph.tensors[operator.outputs[0]].quantization.scale = [0.0]


def weightless(graph, operator) -> None:  # type: ignore[no-untyped-def]
    operator.inputs = [operator.inputs[0], -1, operator.inputs[2]]


def too_late(graph, operator) -> None:  # type: ignore[no-untyped-def]
    operator.inputs = [graph.operators[5].outputs[0], *list(operator.inputs)[1:]]


def constant_out(graph, operator) -> None:  # type: ignore[no-untyped-def]
    graph.tensors[operator.outputs[0]].buffer = graph.tensors[operator.inputs[1]].buffer


def windowless(graph, operator) -> None:  # type: ignore[no-untyped-def]
    operator.builtinOptions.strideH = 0


def zeroless(graph, operator) -> None:  # type: ignore[no-untyped-def]
    graph.tensors[operator.inputs[1]].quantization.zeroPoint = [0, 0]


def other_type(graph, operator) -> None:  # type: ignore[no-untyped-def]
    graph.tensors[operator.outputs[0]].type = 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (scale_out, "has scales that no fixed-point number can join"),
        (scale_zero, "has a scale that is no positive number"),
        (weightless, "lacks an input"),
        (too_late, "which nothing has written"),
        (constant_out, "which has a value already"),
        (windowless, "has a window of no size"),
        (other_type, "has an output of another type than its input"),
    ],
)
def test_an_edit_that_would_end_the_process_is_named(
    change: Callable[[object, object], None], said: str, files: dict[str, Path], tmp_path: Path
) -> None:
    path = edited(files["tflite"], tmp_path / "x.tflite", change)
    with pytest.raises(CheckpointError, match=rf"x\.tflite is damaged: DEPTHWISE_CONV_2D .*{said}. Convert it again"):
        tflite_runner(path)


def test_scales_without_their_zero_points_are_no_quantization(files: dict[str, Path], tmp_path: Path) -> None:
    path = edited(files["tflite"], tmp_path / "x.tflite", zeroless)
    with pytest.raises(CheckpointError, match=r"x\.tflite is damaged.*: 4 scales have 2 zero points"):
        inspect_file(CheckpointRequest(path))


def test_a_file_that_is_written_again_as_it_was_is_not_damaged(
    files: dict[str, Path], tmp_path: Path, seen: Tensor
) -> None:
    path = edited(files["tflite"], tmp_path / "x.tflite", lambda graph, operator: None)
    assert torch.equal(tflite_runner(path)(seen[:2]), tflite_runner(files["tflite"])(seen[:2]))
