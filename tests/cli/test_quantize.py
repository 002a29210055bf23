"""`attendc quantize` as typed: what is printed where, the exit codes, and that failures leave nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import NANO, SMALL_SPEC, small
from PIL import Image

from attendc.checkpoint import save_checkpoint
from attendc.cli.main import main
from attendc.manifest import read_manifest
from attendc.types import Architecture

Quantize = Callable[..., int]
TESTS = Path(__file__).parent.parent
FOREIGN = ["--model=nets:small", "--model-arg=middle=conv_bn_relu"]
GREY = ["--mean=0.5", "--std=0.5", "--input-shape=1x8x8"]

INTERRUPTED_NET = """
import signal
from nets import small
from torch import nn

class Net(nn.Sequential):
    '''The small net, interrupted as by Ctrl-C when it is first worked on.'''

    def __init__(self):
        super().__init__(*small("conv_bn_relu"))

    def __deepcopy__(self, memo):
        signal.raise_signal(signal.SIGINT)
"""


SILENT_NET = """
from nets import small
from torch import nn

class Net(nn.Sequential):
    '''The small net, which fails without a word.'''

    def __init__(self):
        super().__init__(*small("conv_bn_relu"))

    def forward(self, x):
        raise ValueError
"""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return where the folder goes, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "q"


@pytest.fixture
def quantize(output: Path, small_checkpoint: Path, temporary: Path) -> Quantize:
    """Run `attendc quantize` to the int8 ONNX file of a small net; what is given comes after and wins."""
    small_ = ["--int8", "--to=onnx", "--dtype=int8", "--calib=8", "--images=40", "--max-drop=100", f"-o{output}"]

    def run(*given: str, checkpoint: Path = small_checkpoint, model: str = "--model=nets:small") -> int:
        return main(["quantize", str(checkpoint), *small_, *([model] if model else []), *given])

    return run


def told(capfd: pytest.CaptureFixture[str]) -> str:
    """Return the one line of the error, after what was logged; nothing is on stdout."""
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def nothing_left(output: Path) -> bool:
    return list(output.parent.iterdir()) == []


# What is printed


def test_json_is_the_manifest_and_all_of_stdout(
    quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize("--json") == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == read_manifest(output)
    assert printed["verification"]["passed"] is True


def test_without_json_stdout_has_the_table_and_stderr_the_log(
    quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize("--dtype=int8,float32") == 0
    out, err = capfd.readouterr()
    for text in ("file", "dtype", "bytes", "accuracy", "agreement", "float ops", "model.int8.onnx", "100.00%"):
        assert text in out
    assert out.startswith(f"{output}: verified on 40 images")
    assert "scales: equal; integer weights: equal; passed" in out
    assert "calibrate: 8/8 after" in err


def test_quiet_says_nothing_of_the_progress(quantize: Quantize, capfd: pytest.CaptureFixture[str]) -> None:
    assert quantize("--quiet") == 0
    err = capfd.readouterr().err  # NNCF has a bar of its own on pytest's sys.stderr, which is not descriptor 2
    assert "calibrate" not in err
    assert "verify" not in err


def test_an_error_under_json_is_an_object_on_stdout_and_a_line_on_stderr(
    quantize: Quantize, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize("--json", "--data=nowhere") == 4
    out, err = capfd.readouterr()
    assert json.loads(out)["error"]["exit_code"] == 4
    assert err.startswith("error: no data at 'nowhere'")


def test_without_an_output_the_folder_is_named_after_the_checkpoint(
    small_checkpoint: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--int8", "--model=nets:small", "--to=onnx", "--dtype=int8", "--calib=8", "--images=40"]
    assert main(["quantize", str(small_checkpoint), *given, "--max-drop=100"]) == 0
    assert (tmp_path / "runs" / "small-int8" / "manifest.json").is_file()


# Usage


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--to=tflit"], "tflit: choose from tflite, onnx, torchscript"),
        (["--to=,"], "nothing: choose from"),
        (["--dtype=int4"], "int4: choose from int8, float32"),
        (["--ranges=best"], "'best' is not one of"),
        (["--io=int16"], "'int16' is not one of"),
        (["--calib=0"], "'0' is neither a number of images nor 'random'"),
        (["--calib=many"], "'many' is neither a number"),
        (["--images=0"], "0 is not in the range x>=1"),
        (["--min-agreement=2"], "2.0 is not in the range"),
        (["--epochs=1"], "error: --epochs means nothing without --qat. Add --qat"),
        (["--batch-size=8", "--lr=0.1"], "error: --lr, --batch-size means nothing without --qat"),
        (["--qat", "--calib=random"], "error: --qat needs images"),
        (["--mean=grey"], "'grey' is not a list of numbers"),
        (["--input-shape=8x8"], "'8x8' is not CxHxW"),
        (["--nonsense"], "No such option '--nonsense'"),
        (["--model=attendnext_nana"], "error: no model 'attendnext_nana'. Did you mean attendnext_nano?"),
    ],
)
def test_what_cannot_be_meant_exits_with_2(
    quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str], given: list[str], text: str
) -> None:
    assert quantize(*given) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert text in err
    assert nothing_left(output)


def test_int8_must_be_said(output: Path, small_checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(small_checkpoint), f"-o{output}"]) == 2
    assert told(capfd) == "error: say which type to quantize to. Add --int8"
    assert nothing_left(output)


# Checkpoints


class Evil:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def bad_checkpoint(kind: str, folder: Path) -> Path:
    path = folder / "bad.pt"
    weights = small("conv_bn_relu").state_dict()
    torch.save(weights, path)
    content = path.read_bytes()
    if kind == "nan":
        torch.save({**weights, "0.bias": torch.full((4,), float("nan"))}, path)
    elif kind == "evil":
        torch.save({"state_dict": weights, "x": Evil(folder / "done")}, path)
    elif kind == "evil pickle":
        path.write_bytes(pickle.dumps(Evil(folder / "done")))
    else:
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"no checkpoint"}[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("empty", "is empty. Copy or save it again"),
        ("truncated", "is no readable checkpoint"),
        ("text", "is no readable checkpoint"),
        ("nan", "has NaN or infinite weights in 0.bias (1 tensors). The training diverged"),
        ("evil", "wants to import posix.mkdir, which could run code. Save a plain state_dict instead"),
        ("evil pickle", "wants to import posix.mkdir, which could run code"),
    ],
)
def test_a_bad_checkpoint_is_told_in_one_line(
    quantize: Quantize, output: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, text: str
) -> None:
    path = bad_checkpoint(kind, tmp_path)
    assert quantize(*FOREIGN, *GREY, checkpoint=path, model="") == 3
    line = told(capfd)
    assert line.startswith(f"error: {path} ")
    assert text in line
    assert nothing_left(output)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none.pt", "error: no file "),
        ("", "is a folder. Give the checkpoint file in it"),
        ("x.h5", "x.h5 ends in .h5. A checkpoint is a .safetensors"),
        ("x", "ends in nothing"),
    ],
)
def test_what_is_no_checkpoint_is_told(
    quantize: Quantize, output: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    for made in ("x.h5", "x"):
        (tmp_path / made).write_text("x")
    assert quantize(checkpoint=tmp_path / name) == 3
    assert text in told(capfd)
    assert nothing_left(output)


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ([], 3, "does not say which network it belongs to. Add --model PRESET"),
        (FOREIGN, 4, "the preprocessing of a checkpoint without a Spec is not known. Add --mean and --std"),
        ([*FOREIGN, *GREY], 4, "no data is known for this checkpoint. Add --data NAME_OR_PATH"),
        (["--model=attendnext_nano", *GREY], 3, "the weights do not fit attendnext"),
        (["--model=none:net", *GREY], 3, "--model none:net failed: ModuleNotFoundError"),
        (["--model=nets:TINY", *GREY], 3, "--model nets:TINY failed: TypeError: 'dict' object is not callable"),
        (["--model=builtins:dict", *GREY], 3, "--model builtins:dict returned dict, not a torch.nn.Module"),
        ([*FOREIGN, *GREY, "--input-shape=3x8x8", "--data=fashion-mnist-mini"], 3, "does not take an input of shape"),
    ],
)
def test_a_foreign_checkpoint_is_asked_for_what_it_lacks(
    quantize: Quantize,
    output: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    given: list[str],
    code: int,
    text: str,
) -> None:
    torch.save(small("conv_bn_relu").state_dict(), tmp_path / "foreign.pt")
    assert quantize(*given, checkpoint=tmp_path / "foreign.pt", model="") == code
    assert text in told(capfd)
    assert nothing_left(output)


def test_a_foreign_checkpoint_with_all_that_is_quantized(quantize: Quantize, output: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": small("conv_bn_relu").state_dict()}, tmp_path / "foreign.pt")
    given = [*FOREIGN, *GREY, "--data=fashion-mnist-mini"]
    assert quantize(*given, checkpoint=tmp_path / "foreign.pt", model="") == 0
    assert read_manifest(output)["warnings"] == ["weights taken from 'state_dict'"]


def test_a_trusted_checkpoint_is_unpickled_and_the_manifest_says_so(
    quantize: Quantize, output: Path, tmp_path: Path
) -> None:
    path = bad_checkpoint("evil", tmp_path)
    given = [*FOREIGN, *GREY, "--data=fashion-mnist-mini", "--trust-checkpoint"]
    assert quantize(*given, checkpoint=path, model="") == 0
    assert (tmp_path / "done").is_dir()
    assert read_manifest(output)["inputs"]["checkpoint"]["trusted"] is True


def test_a_foreign_factory_in_a_spec_is_not_imported_unasked(
    quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize(model="") == 3
    assert "asks to import nets:small, which is code. If you trust it, repeat the command with" in told(capfd)
    assert nothing_left(output)


# Data


def image_folder(root: Path, *, bad: str = "") -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in "abc":
            (root / split / label).mkdir(parents=True)
            for index in range(4):
                file = root / split / label / f"{index}.png"
                Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(file)
    if bad:
        (root / bad).write_bytes((root / bad).read_bytes()[:40])
    return root


def test_an_image_folder_is_data(quantize: Quantize, output: Path, tmp_path: Path) -> None:
    assert quantize(f"--data={image_folder(tmp_path / 'images')}") == 0
    assert read_manifest(output)["verification"]["images"] == 12


@pytest.mark.parametrize("bad", ["train/b/2.png", "val/c/0.png"])
def test_one_corrupt_image_is_named(
    quantize: Quantize, output: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], bad: str
) -> None:
    images = image_folder(tmp_path / "images", bad=bad)
    assert quantize(f"--data={images}", "--calib=99") == 4
    line = told(capfd)
    assert line.startswith(f"error: image {images / bad} cannot be decoded")
    assert line.endswith("Remove or replace that file")
    assert nothing_left(output)


def test_data_that_is_not_there_or_has_too_many_classes_is_told(
    quantize: Quantize, output: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "many.npz", images=np.zeros((24, 8, 8), np.uint8), labels=np.arange(24) % 12)
    assert quantize("--data=fashion-mnist-min") == 4
    assert "no data at 'fashion-mnist-min'" in told(capfd)
    assert quantize(f"--data={tmp_path / 'many.npz'}") == 4
    assert "has 12 classes, the network has 10 outputs. Give the data the network was trained on" in told(capfd)
    assert nothing_left(output)


# Output


def test_a_folder_that_exists_is_kept_without_force(
    quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize() == 0
    before = (output / "manifest.json").read_bytes()
    capfd.readouterr()
    assert quantize("--calib=9") == 2
    assert told(capfd) == f"error: {output} exists already. Add --force to replace it, or choose -o"
    assert (output / "manifest.json").read_bytes() == before


def test_a_folder_of_somebody_else_s_is_kept_even_with_force(
    quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output.mkdir()
    (output / "precious").write_text("precious")
    assert quantize("--force") == 2
    assert "was not made by attendc (it holds no manifest.json). Remove it yourself" in told(capfd)
    assert [p.read_text() for p in output.parent.rglob("*") if p.is_file()] == ["precious"]


def test_an_output_below_a_file_is_refused(quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (output.parent / "file").write_text("precious")
    assert quantize(f"-o{output.parent / 'file' / 'q'}") == 2
    line = told(capfd)
    assert line.startswith("error: cannot write ")
    assert line.endswith("A part of the path is a file; choose another place with -o")
    assert [p.name for p in output.parent.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_refused(quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output.parent.chmod(0o500)
    assert quantize() == 2
    assert "Permission denied. Choose another place with -o, or change its permissions" in told(capfd)


@pytest.mark.parametrize("kilobytes", [1, 4])
def test_a_full_disk_is_told_and_leaves_nothing(
    quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str], kilobytes: int
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, before[1]))  # no file may grow beyond
    try:
        assert quantize() == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    line = told(capfd)
    assert "File too large" in line
    assert line.startswith("error: cannot write ")
    assert nothing_left(output)


# What cannot be int8, gates, interruption


@pytest.fixture
def erf(tmp_path: Path) -> Path:
    """Return a checkpoint of a network with an operator that has no int8 kernel."""
    spec = dataclasses.replace(SMALL_SPEC, architecture=Architecture("nets:small", {"middle": "erf"}))
    save_checkpoint(tmp_path / "erf.safetensors", small("erf"), spec)
    return tmp_path / "erf.safetensors"


def test_an_operator_that_cannot_be_int8_exits_with_5_and_names_it(
    quantize: Quantize, output: Path, erf: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize(checkpoint=erf) == 5
    assert "cannot be int8: erf.default in 1 (Call): LiteRT has no int8 kernel" in told(capfd)
    assert nothing_left(output)


def test_allow_float_lets_it_through_and_says_so(
    quantize: Quantize, output: Path, erf: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize("--allow-float", checkpoint=erf) == 0
    assert "warning: stays float: erf.default in 1 (Call)" in capfd.readouterr().err
    assert any("stays float: erf.default" in text for text in read_manifest(output)["warnings"])


def test_lost_accuracy_exits_with_7(quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert quantize("--max-drop=-101") == 7
    assert "points lost, -101.0 allowed" in told(capfd)
    assert nothing_left(output)


def test_without_the_gate_what_failed_is_written_and_warned_of(
    quantize: Quantize, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize("--max-drop=-101", "--no-gate") == 0
    out, err = capfd.readouterr()
    assert "FAILED" in out
    assert "warning: gate failed and was overridden" in err
    assert not read_manifest(output)["verification"]["passed"]


def test_a_network_that_fails_without_a_word_is_told_by_the_kind_of_its_error(
    quantize: Quantize,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "silent_small_net.py").write_text(SILENT_NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert quantize(model="--model=silent_small_net:Net") == 3
    assert "does not take an input of shape (2, 1, 8, 8): ValueError. Check the channels" in told(capfd)
    assert nothing_left(output)


def test_an_interruption_exits_with_130(
    quantize: Quantize,
    output: Path,
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "interrupted_small_net.py").write_text(INTERRUPTED_NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert quantize(model="--model=interrupted_small_net:Net") == 130
    assert told(capfd) == "interrupted: nothing half-written was left behind"
    assert nothing_left(output)
    assert list(temporary.iterdir()) == []  # the log


@pytest.mark.slow
def test_ctrl_c_in_the_middle_leaves_nothing(output: Path) -> None:
    command = [sys.executable, "-m", "attendc", "quantize", str(NANO), "--int8", "--calib=8", f"-o{output}"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), "TMPDIR": str(output.parent.parent)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        while line and not line.startswith("calibrate: 8/8"):
            line = process.stderr.readline()
        assert any(output.parent.iterdir())  # the folder being filled
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().strip().splitlines()[-1]
    assert (process.returncode, last) == (130, "interrupted: nothing half-written was left behind")
    assert nothing_left(output)
