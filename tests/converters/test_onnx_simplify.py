"""Simplification in a process of its own: what onnxsim does there, and that only what computes the same is kept."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from nets import STAMP, Built
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from attendc.converters.onnx_equal import difference, made_up_feeds
from attendc.converters.onnx_simplify import Limits, simplify_onnx, simplify_onnx_file
from attendc.converters.onnxsim_process import run_onnxsim
from attendc.converters.read_onnx import inspect_onnx
from attendc.converters.to_onnx import write_onnx
from attendc.errors import CheckpointError, ConversionError, OutputError
from attendc.qdq import quant_table
from attendc.runtimes import onnx_runner

pytestmark = pytest.mark.slow  # onnxsim runs in a process of its own

FAKES = {
    "crash": ("import os\ndef simplify(path): os.abort()", "onnxsim failed and was left out: SIGABRT (120 s and 4096 "),
    "raise": (
        "def simplify(path): raise RuntimeError('no Mul\\nat all')",
        "onnxsim failed and was left out: exit code 1: RuntimeError: no Mul (120 s ",
    ),
    "memory": ("def simplify(path): bytearray(8 << 30)", "onnxsim failed and was left out: exit code 1: MemoryError"),
    "doubt": ("import onnx\ndef simplify(path): return onnx.load(path), False", "it says itself that the results are"),
    "junk": ("import onnx\ndef simplify(path): return onnx.ModelProto(), True", "onnxsim "),
    "others": (
        """
import onnx
def simplify(path):
    model = onnx.load(path)
    next(n for n in model.graph.node if n.op_type == 'Mul').op_type = 'Add'
    return model, True
""",
        "onnxsim changed the results and was left out: y is off by ",
    ),
}
"""What stands in for onnxsim, and what is then said."""


def instead_of_onnxsim(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that are started from now on import this as onnxsim."""
    (folder / "onnxsim.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[object]]],
    values: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    """Return a model of opset 18 that writes `y`; an input is its type and its dimensions."""
    initializers = [numpy_helper.from_array(v, n) for n, v in (values or {}).items()]
    given = [helper.make_tensor_value_info(n, kind, dims) for n, (kind, dims) in inputs.items()]
    graph = helper.make_graph(
        nodes, "g", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], initializers
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)  # an output must have a shape
    del inferred.graph.value_info[:]
    return inferred


def wordy() -> onnx.ModelProto:
    """Return y = x * (2 + 1) with two identities, a constant that is stored twice, and a node that nobody reads."""
    nodes = [
        helper.make_node("Identity", ["x"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.float32([2]))),
        helper.make_node("Add", ["two", "one"], ["three"]),
        helper.make_node("Neg", ["b"], ["unread"]),
        helper.make_node("Mul", ["b", "three"], ["y"]),
    ]
    return model_of(nodes, {"x": (TensorProto.FLOAT, ["n", 4])}, {"one": np.float32([1]), "uno": np.float32([1])})


def ops(model: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]


def outputs(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_what_can_be_computed_beforehand_is_and_what_is_unused_goes() -> None:
    before = wordy()
    done = simplify_onnx(before)
    assert (ops(done.model), done.notes) == (["Mul"], ())
    assert [numpy_helper.to_array(i).tolist() for i in done.model.graph.initializer] == [[3]]
    assert before == wordy()  # as it was
    x = np.float32([[1, -2, 0, 5]])
    assert outputs(done.model, x).tolist() == [[3, -6, 0, 15]]


@pytest.mark.parametrize("name", FAKES)
def test_an_onnxsim_that_misbehaves_is_left_out_and_the_rest_is_cleaned(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = FAKES[name]
    instead_of_onnxsim(code, tmp_path, monkeypatch)
    done = simplify_onnx(wordy())
    (note,) = done.notes
    assert said in note
    assert "\n" not in note
    # onnx_ir drops what nobody reads and what is stored twice; it computes nothing
    assert ops(done.model) == ["Identity", "Identity", "Add", "Mul"]
    assert len(done.model.graph.initializer) == 2


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(seconds=0.01), "it did not end in time (0.01 s and 4096 MiB allowed)"),
        (Limits(memory_bytes=64 << 20), "(120 s and 64 MiB allowed)"),
    ],
)
def test_the_real_onnxsim_is_held_to_its_limits(limits: Limits, said: str) -> None:
    done = simplify_onnx(wordy(), limits=limits)
    (note,) = done.notes
    assert note.startswith("onnxsim failed and was left out: ")
    assert note.endswith(said)
    assert ops(done.model) == ["Identity", "Identity", "Add", "Mul"]


@pytest.mark.parametrize("code", ["import os\nos.abort()", "import time\ntime.sleep(60)"], ids=["crash", "hang"])
def test_a_network_converts_where_onnxsim_does_not(
    code: str, built: Built, seen: Tensor, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead_of_onnxsim(code, tmp_path, monkeypatch)
    layers = quant_table(built.quantized).layers
    start = time.monotonic()
    notes = write_onnx(tmp_path / "x", built.quantized, STAMP, layers=layers, samples=seen, limits=Limits(seconds=3))
    assert time.monotonic() - start < 40  # of the 60 seconds that one sleeps
    assert [n.startswith("onnxsim failed and was left out: ") for n in notes] == [True]
    assert torch.equal(onnx_runner(tmp_path / "x")(seen), onnx_runner(files["onnx"])(seen))
    assert "Constant" not in inspect_onnx(tmp_path / "x")["ops"]


def test_the_process_is_light_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code = """
import sys
import onnx
print("hello", flush=True)
print("hello", file=sys.stderr, flush=True)
def simplify(path):
    heavy = [n for n in sys.modules if n.split(".")[0] in ("torch", "tensorflow", "nncf") and sys.modules[n]]
    if heavy:
        raise RuntimeError(str(heavy))
    return onnx.load(path), True
"""
    instead_of_onnxsim(code, tmp_path, monkeypatch)
    run_onnxsim(wordy(), Limits())
    assert capfd.readouterr() == ("", "")


def test_the_folder_that_the_user_is_in_is_not_imported_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxsim.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    assert ops(run_onnxsim(wordy(), Limits())) == ["Constant", "Mul"]


def test_a_model_that_does_not_run_is_not_touched() -> None:
    model = model_of(
        [helper.make_node("StringNormalizer", ["x"], ["s"]), helper.make_node("Identity", ["f"], ["y"])],
        {
            "x": (TensorProto.STRING, [1]),
            "f": (TensorProto.FLOAT, [1]),
        },
    )
    done = simplify_onnx(model)
    assert done.model is model
    (note,) = done.notes
    assert note.startswith("the model was not simplified, since it cannot be compared: its input x is a tensor(string)")


def test_inputs_are_made_up_for_every_type_and_for_free_dimensions() -> None:
    inputs = {
        "x": (TensorProto.FLOAT, ["n", 3, "h", "w"]),
        "half": (TensorProto.FLOAT16, [1]),
        "ids": (TensorProto.INT64, ["n", 5]),
        "mask": (TensorProto.BOOL, [1]),
        "pixels": (TensorProto.UINT8, [None, 2]),
    }
    model = model_of([helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)], inputs)
    zeros, random = made_up_feeds(model, seed=3)
    shapes = {"x": (2, 3, 64, 64), "half": (1,), "ids": (2, 5), "mask": (1,), "pixels": (2, 2)}
    assert {n: v.shape for n, v in random.items()} == {n: v.shape for n, v in zeros.items()} == shapes
    dtypes = {"x": "float32", "half": "float16", "ids": "int64", "mask": "bool", "pixels": "uint8"}
    assert {n: str(v.dtype) for n, v in random.items()} == dtypes
    assert not any(v.any() for v in zeros.values())
    assert 0.9 < random["x"].std() < 1.1
    assert set(random["ids"].ravel()) <= {0, 1}
    assert np.array_equal(made_up_feeds(model, seed=3)[1]["x"], random["x"])
    assert not np.array_equal(made_up_feeds(model, seed=4)[1]["x"], random["x"])


def test_another_size_is_tried_where_a_model_takes_none_of_64() -> None:
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (TensorProto.FLOAT, ["n", "k"])},
        {"w": np.ones((224, 1), "f")},
    )
    assert made_up_feeds(model, seed=0)[0]["x"].shape == (2, 224)


def scaled(factor: float) -> onnx.ModelProto:
    return model_of(
        [helper.make_node("Mul", ["x", "k"], ["y"])], {"x": (TensorProto.FLOAT, [2])}, {"k": np.float32([factor])}
    )


def stepped(offset: float) -> onnx.ModelProto:
    """Return y = x + offset in steps of 0.5."""
    nodes = [
        helper.make_node("Add", ["x", "k"], ["a"]),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    values = {"k": np.float32([offset]), "s": np.float32(0.5), "z": np.int8(0)}
    return model_of(nodes, {"x": (TensorProto.FLOAT, [2])}, values)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (scaled(1), scaled(1), ""),
        (scaled(1), scaled(1 + 3e-4), ""),  # float32 has 2^-23: its square root is 3.45e-4
        (scaled(1), scaled(1 + 4e-4), "y is off by 0.0016 (allowed: 0.00138)"),  # of the largest, 4
        (scaled(1), scaled(float("nan")), "y is off by nan"),
        (stepped(0), stepped(0.5), ""),
        (stepped(0), stepped(1), "y is off by 1 (allowed: 0.505)"),
    ],
)
def test_outputs_may_differ_by_rounding_or_one_step(before: onnx.ModelProto, after: onnx.ModelProto, said: str) -> None:
    found = difference(before, after, [{"x": np.float32([1, 4])}])
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_a_model_that_no_longer_runs_differs() -> None:
    broken = scaled(1)
    broken.graph.initializer[0].dims[0] = 3
    broken.graph.initializer[0].raw_data = np.ones(3, "f").tobytes()
    feeds = [{"x": np.float32([1, 4])}]
    assert difference(scaled(1), broken, feeds).startswith("onnxruntime cannot ")
    with pytest.raises(ConversionError, match="onnxruntime cannot"):
        difference(broken, scaled(1), feeds)


# Files that are not attendc's


def test_a_file_tells_what_changed(tmp_path: Path) -> None:
    model = wordy()
    helper.set_model_props(model, {"author": "somebody"})
    onnx.save(model, tmp_path / "in.onnx")
    done = simplify_onnx_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert done.before == {"Add": 1, "Constant": 1, "Identity": 2, "Mul": 1, "Neg": 1}
    assert done.after == {"Mul": 1}
    assert (done.nodes_before, done.nodes_after, done.changed, done.notes) == (6, 1, True, ())
    sizes = [(tmp_path / n).stat().st_size for n in ("in.onnx", "out.onnx")]
    assert [done.bytes_before, done.bytes_after] == sizes
    kept = onnx.load(tmp_path / "out.onnx")
    assert {p.key: p.value for p in kept.metadata_props} == {"author": "somebody"}
    assert [kept.ir_version, kept.opset_import[0].version, kept.graph.node[0].metadata_props] == [8, 18, []]


def test_a_file_with_nothing_to_simplify_stays_as_it_is(tmp_path: Path) -> None:
    onnx.save(scaled(3), tmp_path / "in.onnx")
    done = simplify_onnx_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert (done.changed, done.before) == (False, done.after)
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "in.onnx").read_bytes()


def test_nodes_of_branches_are_counted_and_external_data_comes_into_the_file(tmp_path: Path) -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info("o" + op, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, ["x"], ["o" + op])], op, [], [out])

    nodes = [
        helper.make_node("If", ["c"], ["b"], then_branch=branch("Neg"), else_branch=branch("Abs")),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    inputs = {"x": (TensorProto.FLOAT, [1, 32]), "c": (TensorProto.BOOL, [])}
    model = model_of(nodes, inputs, {"w": np.eye(32, dtype="f")})
    onnx.save(model, tmp_path / "in.onnx", save_as_external_data=True, location="in.data", size_threshold=0)
    done = simplify_onnx_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert done.before == {"Abs": 1, "If": 1, "MatMul": 1, "Neg": 1}
    assert done.bytes_before == sum((tmp_path / n).stat().st_size for n in ("in.onnx", "in.data"))
    (tmp_path / "in.data").unlink()
    assert done.changed
    x = np.arange(32, dtype="f")[None]
    session = onnxruntime.InferenceSession(tmp_path / "out.onnx", providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"x": x, "c": np.array(True)})[0], -x)


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent is no readable ONNX file"):
        simplify_onnx_file(tmp_path / "absent", tmp_path / "out.onnx")
    onnx.save(scaled(3), tmp_path / "in.onnx")
    with pytest.raises(OutputError, match="is a folder"):
        simplify_onnx_file(tmp_path / "in.onnx", tmp_path)
