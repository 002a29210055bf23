"""`attendc train` as typed: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nets import TINY_ARGS, tiny

from attendc.checkpoint import read_weights
from attendc.cli.main import main

INTERRUPTED_NET = """
import signal
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * 16 * 16, 10)

    def forward(self, x):
        if self.training:
            signal.raise_signal(signal.SIGINT)
        return self.head(x.flatten(1))
"""

Train = Callable[..., int]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return where the checkpoint goes, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "x.safetensors"


@pytest.fixture
def train(output: Path, small_npz: Path, temporary: Path) -> Train:
    """Run `attendc train` of a tiny net on 60 images for no epoch; what is given comes after and wins."""
    small = [f"--data={small_npz}", "--input-size=16x16", "--epochs=0", "--batch-size=16", *TINY_ARGS]
    return lambda *given: main(["train", *small, f"-o{output}", *given])


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_it_writes_a_checkpoint_and_exits_with_0(train: Train, output: Path) -> None:
    assert train("--epochs=1") == 0
    assert names(output.parent) == ["x.last.safetensors", "x.safetensors"]
    spec = read_weights(output).spec
    assert spec is not None
    assert spec.history[0]["options"]["batch_size"] == 16


def test_json_prints_one_object_on_stdout(train: Train, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("--json", "--epochs=1") == 0
    told = json.loads(capfd.readouterr().out)
    assert told["checkpoint"] == str(output)
    assert 0 <= told["best_accuracy"] <= 1
    assert len(told["curve"]) == 1


def test_without_json_stdout_has_a_table_and_stderr_the_log(
    train: Train, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("--epochs=1") == 0
    out, err = capfd.readouterr()
    params = sum(p.numel() for p in tiny().parameters())
    assert out.startswith(f"{output}: {params:,} parameters\n")
    assert "test accuracy" in out
    assert "epoch 1: loss" in err
    assert "train: 3/3 after" in err  # 57 of 60 images make 3 batches of 16


def test_quiet_leaves_stderr_empty(train: Train, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("--epochs=1", "--quiet") == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (["--epochs=-1"], 2, "-1 is not in the range x>=0"),
        (["--epochs=many"], 2, "'many' is not a valid integer"),
        (["--batchsize=4"], 2, "No such option '--batchsize'"),
        (["--input-size=16"], 2, "'16' is not HxW, for example 32x32"),
        (["--model-arg=gate"], 2, "'gate' is not K=V"),
        (["--model-arg=gates=x"], 2, "attendnext_nano has no gates"),
        (["--model=attendnext_nan"], 2, "Did you mean attendnext_nano?"),
        (["--lr=-1"], 2, "lr is -1.0"),
        (["--hold-out=1"], 2, "1.0 is not in the range 0<x<1"),
        (["--model-arg=gate=tanh"], 3, "cannot build attendnext"),
        (["--model=no_such_module:make"], 3, "No module named 'no_such_module'"),
        (["--init=none.safetensors"], 3, "no file none.safetensors"),
        (["--data=no-such-data"], 4, "no data at 'no-such-data'"),
        (["--batch-size=61", "--epochs=1"], 4, "57 training images make no batch of 61"),  # 60 - 5 %
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_exit_code(
    train: Train, output: Path, capfd: pytest.CaptureFixture[str], given: list[str], code: int, text: str
) -> None:
    assert train(*given) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert text in err.strip().splitlines()[-1]
    assert names(output.parent) == []


def test_an_output_must_be_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    assert "Missing option '-o' / '--output'" in capfd.readouterr().err


def test_an_output_that_exists_is_kept_without_force(
    train: Train, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output.write_text("precious")
    assert train() == 2
    assert "exists already. Add --force to replace it" in capfd.readouterr().err
    assert output.read_text() == "precious"


def test_force_replaces_the_output(train: Train, output: Path) -> None:
    output.write_text("old")
    assert train("--force") == 0
    assert read_weights(output).spec is not None


def test_an_output_below_a_file_is_refused(train: Train, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (output.parent / "file").touch()
    assert train(f"-o{output.parent / 'file' / 'x.safetensors'}") == 2
    assert "file is a file" in capfd.readouterr().err
    assert names(output.parent) == ["file"]


def test_an_interrupted_run_exits_with_130_and_leaves_nothing_half_written(
    output: Path,
    small_npz: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (output.parent / "interrupted_net.py").write_text(INTERRUPTED_NET)
    monkeypatch.chdir(output.parent)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    how = ["--model=interrupted_net:Net", "--input-size=16x16", "--batch-size=16"]
    assert main(["train", *how, f"--data={small_npz}", f"-o{output}"]) == 130
    assert "interrupted" in capfd.readouterr().err
    assert names(output.parent) == ["interrupted_net.py"]


def test_help_names_every_option_and_needs_no_data(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    out = capfd.readouterr().out
    for option in ("--model-arg K=V", "--spec-data", "--hold-out", "--no-cache", "--force", "--json"):
        assert option in out
