"""`attendc quantize` as typed: what is printed where, the exit codes of what it finds, and interruption."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import INTERRUPTED, INTERRUPTED_NET, importable, nothing_left, stopped, told
from nets import NANO, SMALL_SPEC, small

from attendc.checkpoint import save_checkpoint
from attendc.cli.main import main
from attendc.manifest import read_manifest
from attendc.types import Architecture

pytestmark = pytest.mark.slow  # every test makes a folder

Quantize = Callable[..., int]

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
    assert err.splitlines()[-1].startswith("error: no data at 'nowhere'")


def test_without_an_output_the_folder_is_named_after_the_checkpoint(
    small_checkpoint: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--int8", "--model=nets:small", "--to=onnx", "--dtype=int8", "--calib=8", "--images=40"]
    assert main(["quantize", str(small_checkpoint), *given, "--max-drop=100"]) == 0
    assert (tmp_path / "runs" / "small-int8" / "manifest.json").is_file()


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
    importable(monkeypatch, tmp_path / "silent_small_net.py", SILENT_NET)
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
    importable(monkeypatch, tmp_path / "interrupted_small_net.py", INTERRUPTED_NET)
    assert quantize(model="--model=interrupted_small_net:Net") == 130
    assert told(capfd) == INTERRUPTED
    assert nothing_left(output)
    assert list(temporary.iterdir()) == []  # the log


def test_ctrl_c_in_the_middle_leaves_nothing(output: Path) -> None:
    words = ["quantize", str(NANO), "--int8", "--calib=8", f"-o{output}"]
    code, last = stopped(words, output, at="calibrate: 8/8", by=signal.SIGINT)
    assert (code, last) == (130, INTERRUPTED)
    assert nothing_left(output)
