"""`attendc analyze` as typed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nets import NANO, SMALL_SPEC, small, write_npz
from PIL import Image

from attendc.checkpoint import save_checkpoint
from attendc.cli.main import main
from attendc.data.images import Dataset
from attendc.types import Architecture

pytestmark = pytest.mark.slow  # networks are pruned and quantized part by part

Analyze = Callable[..., int]


@pytest.fixture(scope="session")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint with a convolution `0`, a residual block `1` and a linear layer `4`."""
    spec = dataclasses.replace(SMALL_SPEC, architecture=Architecture("nets:small", {"middle": "residual"}))
    path = tmp_path_factory.mktemp("residual") / "residual.safetensors"
    save_checkpoint(path, small("residual"), spec)
    return path


@pytest.fixture
def analyze(
    residual: Path, small_npz: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> Analyze:
    """Run `attendc analyze` on the residual net; what is given comes after."""
    monkeypatch.setenv("ATTENDC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    own = ["analyze", str(residual), "--model=nets:small", f"--data={small_npz}", "--importance=l2"]

    def run(*given: str) -> int:
        return main([*own, *given])

    return run


def test_the_table_has_a_row_a_part_and_a_column_a_measurement(
    analyze: Analyze, capfd: pytest.CaptureFixture[str]
) -> None:
    assert analyze("--sensitivity", "--keep=0.75,0.5", "-os.svg") == 0
    out, err = capfd.readouterr()
    head, *rows = [
        [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]
        for line in out.splitlines()
        if line[0] in "┃│"
    ]
    assert head == ["part", "keep 0.75", "keep 0.5", "removed", "int8"]
    filled = {name: [column for column, cell in zip(head[1:], cells, strict=True) if cell] for name, *cells in rows}
    assert filled == {
        "0": ["keep 0.75", "keep 0.5", "int8"],
        "1": ["removed", "int8"],
        "1.branch": ["int8"],
        "2": ["int8"],
        "4": ["int8"],
    }
    assert "on 60 training images" in out
    assert "cannot be pruned: 4: its outputs are the network's" in out
    assert out.endswith("picture: s.svg\n")
    for title in ("sensitivity: 3/3", "int8 sensitivity: 5/5"):
        assert title in err


def test_json_is_one_object_with_all_numbers(analyze: Analyze, capfd: pytest.CaptureFixture[str]) -> None:
    assert analyze("--sensitivity", "--json", "-q", "-os.png") == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert {"rows", "parts", "whole", "refused", "picture", "judged_on", "warnings"} <= found.keys()
    assert {"part", "what", "keep", "accuracy", "loss"} == found["rows"][0].keys()
    assert "calibrate" not in err
    with Image.open("s.png") as image:
        assert image.format == "PNG"


def test_the_second_time_it_says_that_it_measured_before(
    analyze: Analyze, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert analyze("--sensitivity", "-ofirst.svg") == 0
    first = capfd.readouterr().out.replace("first.svg", "second.svg")
    assert analyze("--sensitivity", "-osecond.svg") == 0
    out, err = capfd.readouterr()
    assert out == first
    assert "01-analyze: done before, " in err
    assert analyze("--sensitivity", "--no-cache", "-othird.svg") == 0
    assert "before" not in capfd.readouterr().err
    pictures = [(tmp_path / f"{name}.svg").read_bytes() for name in ("first", "second", "third")]
    assert len(set(pictures)) == 1


def test_without_an_output_the_picture_is_named_after_the_checkpoint(analyze: Analyze, tmp_path: Path) -> None:
    assert analyze("--sensitivity") == 0
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["residual-sensitivity.svg"]


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ([], 2, "say what to analyze. Add --sensitivity"),
        (["--sensitivity", "--keep=half"], 2, "'half' is not a list of numbers"),
        (["--sensitivity", "--keep=0.5,"], 2, "'0.5,' is not a list of numbers"),
        (["--sensitivity", "--keep=0.5,1.5"], 2, "1.5 is not between 0 and 1"),
        (["--sensitivity", "--keep=0"], 2, "0 is not between 0 and 1"),
        (["--sensitivity", "--keep=nan"], 2, "nan is not between 0 and 1"),
        (["--sensitivity", "--importance=best"], 2, "'best' is not one of"),
        (["--sensitivity", "-os.pdf"], 2, "s.pdf is no name of a picture. End it in .svg or .png"),
        (["--sensitivity", "--importance=bn"], 2, "the importance bn finds nothing to go by in 0"),
        (["--sensitivity", "--weights-key=ema"], 3, "has no 'ema'"),
        (["--sensitivity", "--data=nowhere"], 4, "no data at 'nowhere'"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_written(
    analyze: Analyze, tmp_path: Path, capfd: pytest.CaptureFixture[str], given: list[str], code: int, text: str
) -> None:
    assert analyze(*given) == code
    out, err = capfd.readouterr()
    assert text in err
    assert out == ""
    assert {p.name for p in tmp_path.iterdir()} <= {"tmp", "cache"}


@pytest.mark.usefixtures("temporary")
def test_of_a_shipped_checkpoint_early_layers_matter_most(
    mini: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_npz(tmp_path / "200.npz", mini, train=20)
    given = ["--sensitivity", "--keep=0.25", "--json", f"--data={data}", f"-o{tmp_path / 's.svg'}"]
    assert main(["analyze", str(NANO), *given]) == 0
    found = json.loads(capfd.readouterr().out)
    lost = {p["part"]: p["lost"] for p in found["parts"]}
    assert lost["stages.0.1"]["removed"] > 20 > lost["stages.2.1"]["removed"]
    assert lost["stages.0.0.features.1.0"]["keep 0.25"] > 20 > lost["stages.3.0.features.1.0"]["keep 0.25"]
    assert max(row["int8"] for row in lost.values()) < 1
    assert found["whole"]["float32"]["accuracy"] > 0.95
