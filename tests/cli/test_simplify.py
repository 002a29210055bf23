"""`attendc simplify` as typed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from commands import cells, told
from nets import SMALL_SPEC

from attendc.cli.main import main
from attendc.converters.program import load_program

Simplify = Callable[..., int]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return an empty folder for what is written."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def simplify(small_checkpoint: Path, small_npz: Path, place: Path, temporary: Path) -> Simplify:
    """Run `attendc simplify` on the small net; what is given comes after."""
    own = ["simplify", str(small_checkpoint), "--model=nets:small", f"--data={small_npz}", f"-o{place / 'x.pt2'}"]
    return lambda *given: main([*own, *given])


def test_a_checkpoint_becomes_a_graph_and_a_table(
    simplify: Simplify, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert simplify() == 0
    out = capfd.readouterr().out
    rows = {row[0]: row[1:] for row in cells(out)}
    assert rows["operators"] == ["7", "6"]  # conv, conv, batch norm, ReLU, pool, view, linear
    assert rows["conv2d"] == ["2", "2"]
    assert rows["_native_batch_norm_legit_no_training"] == ["1", "0"]
    assert "fold_bn: folded 1 batch norms into convolutions" in out.splitlines()
    assert "outputs compared on 16 images" in out
    assert load_program(place / "x.pt2").spec.labels == SMALL_SPEC.labels


def test_json_is_the_same_as_data(simplify: Simplify, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert simplify("--json", "--passes=fold_bn", "--images=0") == 0
    found = json.loads(capfd.readouterr().out)
    assert [row["pass"] for row in found["passes"]] == ["fold_bn"]
    assert (found["before"]["nodes"], found["after"]["nodes"]) == (7, 6)
    assert (found["proven_on"], found["notes"]) == ("random inputs", [])
    assert found["output"] == str(place / "x.pt2")


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (["--skip=fold_bm"], 2, "there is no pass fold_bm. Did you mean fold_bn?"),
        (["-ox.onnx"], 2, "x.onnx does not end in .pt2"),
        (["--data=nowhere"], 4, "nowhere"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    simplify: Simplify, place: Path, capfd: pytest.CaptureFixture[str], given: list[str], code: int, text: str
) -> None:
    assert simplify(*given) == code
    assert text in told(capfd)
    assert list(place.iterdir()) == []


def test_a_file_is_replaced_only_by_force(simplify: Simplify, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (place / "x.pt2").write_text("mine")
    assert simplify() == 2
    assert "x.pt2 exists already. Add --force to replace it" in told(capfd)
    assert (place / "x.pt2").read_text() == "mine"
    assert simplify("--force") == 0
    assert load_program(place / "x.pt2")


def model_with_a_chain(path: Path) -> Path:
    """Write y = relu(identity(x)) as ONNX."""
    nodes = [onnx.helper.make_node("Identity", ["x"], ["m"]), onnx.helper.make_node("Relu", ["m"], ["y"])]
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4]) for n in "xy"]
    graph = onnx.helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.slow  # onnxsim runs in a process of its own
def test_an_onnx_becomes_an_onnx(place: Path, temporary: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = model_with_a_chain(place / "chain.onnx")
    assert main(["simplify", str(source), f"-o{place / 'y.onnx'}"]) == 0
    rows = {row[0]: row[1:] for row in cells(capfd.readouterr().out)}
    assert rows["operators"] == ["2", "1"]
    assert rows["Identity"] == ["1", "0"]
    assert [n.op_type for n in onnx.load(place / "y.onnx").graph.node] == ["Relu"]


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (["--passes=fold_bn", "-oy.onnx"], 2, "an .onnx has passes of its own"),
        (["--print-recipe", "-oy.onnx"], 2, "is no recipe"),
        (["-oy.pt2"], 2, "y.pt2 does not end in .onnx"),
        (["-ochain.onnx", "--force"], 2, "chain.onnx is the source itself"),
    ],
)
def test_what_an_onnx_cannot_is_one_line(
    place: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    given: list[str],
    code: int,
    text: str,
) -> None:
    source = model_with_a_chain(place / "chain.onnx")
    before = source.read_bytes()
    monkeypatch.chdir(place)
    assert main(["simplify", "chain.onnx", *given]) == code
    assert text in told(capfd)
    assert source.read_bytes() == before
    assert [p.name for p in place.iterdir()] == ["chain.onnx"]


def test_a_damaged_onnx_is_one_line(place: Path, temporary: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = model_with_a_chain(place / "chain.onnx")
    source.write_bytes(source.read_bytes()[:20])
    assert main(["simplify", str(source), f"-o{place / 'y.onnx'}"]) == 3
    assert "chain.onnx" in told(capfd)
    shutil.rmtree(place)
