"""`attendc quantize` with options, checkpoints, data and places that do not do: the line, the code, nothing left."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import nothing_left, told
from full_disk import files_of_at_most
from nets import small
from PIL import Image

from attendc.cli.main import main
from attendc.manifest import read_manifest

pytestmark = pytest.mark.slow  # most of the job is done before some are refused

Quantize = Callable[..., int]
FOREIGN = ["--model=nets:small", "--model-arg=middle=conv_bn_relu"]
GREY = ["--mean=0.5", "--std=0.5", "--input-shape=1x8x8"]


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
    with files_of_at_most(kilobytes * 1024):
        assert quantize() == 2
    line = told(capfd)
    assert "File too large" in line
    assert line.startswith("error: cannot write ")
    assert nothing_left(output)
