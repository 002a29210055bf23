"""`attendc quantize --model NAME` and `attendc convert --model NAME` as typed, and --no-verify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import told
from nets import NANO

from attendc.cli.main import main

FACTORY = ["--model=nets:small", "--model-arg=middle=conv_bn_relu", "--input-shape=1,8,8"]
COST = ["--calib=random", "--no-verify", "--to=tflite", "--dtype=int8"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_the_table_says_what_it_is_and_the_folder_is_named_after_the_model(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "--int8", *FACTORY, *COST]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("runs/nets.small-int8: not verified")
    assert "weights: random (seed 0), not trained; not verified" in out
    assert "warning: weights: random (seed 0), not trained" in err
    assert Path("runs/nets.small-int8/manifest.json").is_file()


@pytest.mark.slow
def test_convert_takes_a_model_without_a_source(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", *FACTORY, "--no-verify", "--to=tflite", "-o=c", "--json", "--seed=5"]) == 0
    manifest = json.loads(capfd.readouterr().out)
    assert manifest["caveat"] == "weights: random (seed 5), not trained; not verified"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("quantize --int8", "no checkpoint is given. Give one, or --model PRESET for random weights"),
        ("quantize --int8 --classes 7", "no checkpoint is given"),
        (f"quantize {NANO} --int8 --classes 7", "--classes 7 is of a --model without a checkpoint"),
        (f"quantize {NANO} --int8 --no-verify --max-drop 2", "--max-drop means nothing with --no-verify"),
        (f"quantize {NANO} --int8 --no-verify --min-agreement 0.9", "--min-agreement means nothing with --no-verify"),
        (f"quantize {NANO} --int8 --no-verify --no-gate", "--no-gate means nothing with --no-verify"),
        (f"quantize {NANO} --int8 --no-verify --images 9", "--images means nothing with --no-verify"),
        (f"convert {NANO} -o c --no-verify --images 9", "--images means nothing with --no-verify"),
        ("convert -o c", "no checkpoint is given"),
        ("quantize --int8 --model attendnext_nana --calib random", "Did you mean attendnext_nano"),
    ],
)
def test_what_does_not_go_together_exits_with_2(command: str, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    assert text in told(capfd)


def test_a_recipe_is_printed_without_a_checkpoint_and_without_verify(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "--int8", "--model=attendnext", "--classes=12", *COST, "--print-recipe"]) == 0
    printed = capfd.readouterr().out
    assert "classes: 12" in printed
    assert "verify" not in printed
