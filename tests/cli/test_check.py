"""`attendc check` as typed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from arm.one_op import Op, T, bias_of, broken_in_the_middle, conv, weight, write_ops

from attendc.arm.cost.cost import instructions, overhead
from attendc.arm.ops import ops_of_tflite
from attendc.cli.main import main

pytestmark = pytest.mark.usefixtures("temporary")

A72, A76 = "cortex-a72", "cortex-a76"
Check = Callable[..., int]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return a file of conv - sigmoid - softmax - two convs - add, 8x8x16."""
    return broken_in_the_middle(tmp_path)


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """Return a file of three 3x3 convolutions of 32x32 in 4 columns of 10."""
    shape = (1, 32, 32, 40)
    tensors = {"x": T(shape), "w": weight((40, 3, 3, 10)), "b": bias_of(40), **{str(i): T(shape) for i in range(3)}}
    names = ["x", "0", "1", "2"]
    ops = [Op("CONV_2D", (a, "w", "b"), (b,), conv(), "Conv2DOptions") for a, b in pairwise(names)]
    return write_ops(tmp_path / "narrow.tflite", tensors, ops, ["x"], "2")


def test_json_tells_parts_what_fell_out_and_what_each_layer_costs(
    broken: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(broken), "--target", f"{A76},{A72}", "--json"]) == 0
    out, err = capfd.readouterr()
    assert err.startswith("checking: 1/1")  # progress; nothing else
    found = json.loads(out)
    assert found["broken"] == []
    (entry,) = found["files"]
    assert (entry["file"], entry["bytes"]) == (str(broken), broken.stat().st_size)
    assert entry["macs"] == 3 * 64 * 16 * 16  # three 1x1 convolutions of 8x8, 16 to 16
    assert (entry["operators"], entry["partitions"]) == (6, 2)
    assert [(f["operator"], f["name"], f["index"]) for f in entry["fallen"]] == [("SOFTMAX", "3", 2)]
    assert [layer["partition"] for layer in entry["layers"]] == [1, 1, None, 2, 2, 2]
    assert list(entry["cores"]) == [A76, A72]
    ops = ops_of_tflite(broken)
    for core in (A76, A72):
        assert [layer["cores"][core]["instructions"] for layer in entry["layers"]] == [
            round(instructions(op, core)) for op in ops
        ]
        whole = overhead(2, core) + sum(instructions(op, core) for op in ops)
        assert entry["cores"][core]["instructions"] == round(whole)
        assert entry["cores"][core]["overhead"] == round(overhead(2, core))
    assert [one["found"][:9] for one in entry["advice"]] == ["1 SOFTMAX"]


def test_a_table_names_the_break_the_layers_and_what_to_do(
    narrow: Path, broken: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(broken), str(narrow), "--target", A76, "-q"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "XNNPACK runs 5 of 6 operators in 2 parts" in out
    assert "SOFTMAX int8 has no XNNPACK kernel" in out
    assert "XNNPACK runs 3 of 3 operators in 1 part;" in out
    assert "3 layers at 32x32 have 10 channels a column: 16 cost" in out
    assert "Widen to 16" in out
    assert "all 3 layers" in out


def test_the_costly_layers_are_shown_first_and_all_in_order_if_asked(
    broken: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def shown(*options: str) -> list[str]:
        assert main(["check", str(broken), "--target", A76, "-q", *options]) == 0
        lines = capfd.readouterr().out.splitlines()
        return [line.split("│")[2].split()[0] for line in lines if "int8" in line and line.startswith("│ ")][:6]

    costs = {"CONV_2D": 0.0, "SOFTMAX": 0.0}
    for op in ops_of_tflite(broken):
        costs[op.kind] = instructions(op, A76)
    assert costs["SOFTMAX"] > costs["CONV_2D"]
    assert shown()[0] == "SOFTMAX"
    assert shown("--all") == ["CONV_2D", "LOGISTIC", "SOFTMAX", "CONV_2D", "CONV_2D", "ADD"]


@pytest.mark.parametrize(
    ("conditions", "code", "said"),
    [
        (["partitions>2", "fallen>1", "instructions>1G", "bytes>1M", "macs<1"], 0, []),
        (["partitions>1"], 8, ["has 2 partitions: --fail-on partitions>1"]),
        (
            ["fallen>0", "macs>=49152"],
            8,
            ["1 operators outside of XNNPACK: --fail-on fallen>0", "has 49,152 MACs: --fail-on macs>=49152"],
        ),
        (["instructions>1"], 8, [f"instructions on {A76}: --fail-on", f"instructions on {A72}: --fail-on"]),
    ],
)
def test_a_condition_that_holds_ends_with_code_8(
    broken: Path, capfd: pytest.CaptureFixture[str], conditions: list[str], code: int, said: list[str]
) -> None:
    given = [part for text in conditions for part in ("--fail-on", text)]
    assert main(["check", str(broken), "--target", f"{A76},{A72}", "--json", *given]) == code
    out, err = capfd.readouterr()
    assert len(json.loads(out)["broken"]) == len(said)  # the result is there either way
    assert all(text in err for text in said)
    assert err.count("error:") == (1 if said else 0)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["broken.tflite", "--target", "cortex-a7"], 2, "no core 'cortex-a7'. Did you mean cortex-a7"),
        (["broken.tflite", "--target", A76, "--fail-on", "parts>1"], 2, "nothing is called parts"),
        (["broken.tflite"], 2, "Missing option '--target'"),
        (["none.tflite", "--target", A76], 3, "none.tflite cannot be read: No such file"),
        (["text.tflite", "--target", A76], 3, "text.tflite is no TFLite file"),
        (["cut.tflite", "--target", A76], 3, "cut.tflite is damaged"),
        (["model.onnx", "--target", A76], 2, "model.onnx is no TFLite file: check reads those alone"),
        (["empty", "--target", A76], 3, "empty has no manifest.json"),
    ],
)
def test_what_cannot_be_checked_is_told_in_one_line(
    broken: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    folder = broken.parent
    (folder / "text.tflite").write_text("no model")
    (folder / "cut.tflite").write_bytes(broken.read_bytes()[:400])
    (folder / "model.onnx").write_text("no model")
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder)
    assert main(["check", *arguments, "-q"]) == code
    out, err = capfd.readouterr()
    assert said in err
    assert (out, "Traceback" in err) == ("", False)


@pytest.mark.slow  # the folder is made first
def test_of_a_folder_all_tflite_files_are_checked(
    small_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(small_folder, tmp_path / "folder")
    assert main(["check", str(folder), "--target", A76, "--json"]) == 0
    names = [Path(entry["file"]).name for entry in json.loads(capfd.readouterr().out)["files"]]
    assert names == ["model.int8.tflite", "model.float32.tflite"]
