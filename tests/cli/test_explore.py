"""`attendc explore` as typed: what lies in its folder, what is printed where, and what is refused in a line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from explore.small_study import SPACE, expect_each_done_once

from attendc.cli.main import main
from attendc.explore.trial import Trial

Explore = Callable[..., int]


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def words(space: Path, small_npz: Path) -> list[str]:
    """Return a command of two trials of one epoch on 60 images."""
    small = ["--trials=2", "--epochs=1", "--candidates=1", "--hold-out=0.3", "--heartbeat=1,3"]
    return ["explore", str(space), *small, "--budget=cortex-a76:3M", f"--data={small_npz}"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "found"


@pytest.fixture
def explore(words: list[str], output: Path, temporary: Path) -> Explore:
    """Run it; what is given comes after and wins."""
    return lambda *given: main([*words, f"-o{output}", *given])


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_folder_holds_results_page_presets_log_and_study(
    explore: Explore, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert explore("--json") == 0
    result = json.loads(capfd.readouterr().out)
    fronts = sorted(f"front/trial-{n}.yaml" for n in result["front"])
    rest = ["ablations.json", "explore.json", "report.html", "run.log", "study.db", "winner.yaml"]
    assert names(output) == sorted([*fronts, *rest])
    assert json.loads((output / "explore.json").read_text()) == result
    assert [t["state"] for t in result["trials"]] == ["complete", "complete"]
    told = {"config", "constraints", "params", "macs", "instructions", "accuracy", "state"}
    assert all(told <= trial.keys() for trial in result["trials"])
    assert result["winner"] in result["front"]


def test_the_winner_is_a_preset_that_train_takes(
    explore: Explore, output: Path, small_npz: Path, tmp_path: Path
) -> None:
    assert explore("--trials=1") == 0
    trained = tmp_path / "winner.safetensors"
    given = [
        f"--model={output / 'winner.yaml'}",
        f"--data={small_npz}",
        "--epochs=0",
        "--hold-out=0.3",
        "--batch-size=8",
    ]
    assert main(["train", *given, f"-o{trained}"]) == 0
    assert trained.exists()


def test_a_table_tells_front_winner_baseline_and_refusals(explore: Explore, capfd: pytest.CaptureFixture[str]) -> None:
    assert explore("--baseline=attendnext_nano_arm") == 0
    printed = capfd.readouterr()
    assert "(winner)" in printed.out
    assert "attendnext_nano_arm" in printed.out
    assert "explore: 2/2" in printed.err


def test_the_same_command_again_does_nothing_and_more_trials_go_on(
    explore: Explore, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert explore() == explore() == 0
    assert (output / "run.log").read_text().count("parameters") == 2
    assert explore("--trials=3", "--json") == 0
    assert (output / "run.log").read_text().count("parameters") == 3


def test_other_settings_are_refused_and_force_begins_anew(
    explore: Explore, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert explore("--trials=1") == 0
    assert explore("--trials=1", "--seed=1") == 2
    assert "begun with other settings" in capfd.readouterr().err
    assert explore("--trials=1", "--seed=1", "--force") == 0
    assert json.loads((output / "explore.json").read_text())["seed"] == 1


@pytest.mark.slow
def test_ablations_are_trained_if_asked_for(explore: Explore, output: Path) -> None:
    assert explore("--trials=1") == 0
    plan = json.loads((output / "ablations.json").read_text())
    assert {one["accuracy"] for one in plan} == {None}
    assert explore("--trials=1", "--ablate") == 0
    trained = json.loads((output / "ablations.json").read_text())
    assert all(0 <= one["accuracy"] <= 1 for one in trained)
    assert [{**one, "accuracy": None} for one in trained] == plan


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--storage=postgresql://a:secret@127.0.0.1:1/x"], "no database answers at postgresql://a:***@127.0.0.1:1/x"),
        (["--storage=nothing"], "--storage is no URL of a database"),
        (["--storage=sqlite:///x.db", "--force"], "--force would remove a study that other computers may work on"),
        (["--budget=params:0.5"], "params:0.5 is a part of a baseline's, but there is no baseline"),
        (["--baseline=attendnext_nan"], "no model 'attendnext_nan'. Did you mean attendnext_nano?"),
        (["--timeout=soon"], "is no duration, for example 90s, 30m or 2h"),
        (["--heartbeat=5,5"], "is not EVERY,GRACE in whole seconds"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    explore: Explore, output: Path, given: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert explore(*given) == 2
    error = capfd.readouterr().err
    assert told in error
    assert not output.exists()
    assert "Traceback" not in error
    assert "secret" not in error


def test_an_unknown_space_is_told(small_npz: Path, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "fashion-mnis", f"--data={small_npz}", f"-o{output}"]) == 2
    assert "fashion-mnist" in capfd.readouterr().err
    assert not output.exists()


def test_a_folder_of_something_else_is_left_alone(
    explore: Explore, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    assert explore("--force") == 2
    assert "holds something else than an exploration" in capfd.readouterr().err
    assert names(output) == ["thesis.txt"]


@pytest.mark.slow
def test_killed_and_typed_again_it_goes_on_and_several_processes_share_it(words: list[str], output: Path) -> None:
    """The first command is killed with all its trials begun; the second one, of two processes, does what was left."""
    command = [sys.executable, "-m", "attendc", *words, "--trials=4", f"-o{output}"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(output / "run.log", "trial 1: ")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = subprocess.run([*command, "--jobs=2", "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    expect_each_done_once(tuple(Trial(**t) for t in json.loads(done.stdout)["trials"]), 4)


def wait_for(file: Path, text: str) -> None:
    until = time.monotonic() + 60
    while not (file.exists() and text in file.read_text()):
        assert time.monotonic() < until, f"{text!r} never stood in {file}"
        time.sleep(0.02)
