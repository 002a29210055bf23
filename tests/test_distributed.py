"""Training by two processes that torchrun started: what comes out is what one process makes, and is written once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed_work
import numpy as np
import pytest
import torch
from distributed_work import FEW, task
from nets import TINY_ARGS, tiny
from PIL import Image
from torch import Tensor

from attendc.checkpoint import read_weights
from attendc.compress.masks import frozen_zeros
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.distributed.team import Team, run_together, the_team
from attendc.train import train

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


def torchrun(*command: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command in two processes."""
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ATTENDC_CACHE": str(folder / "cache")}
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *command]
    return subprocess.Popen(start, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def damaged_images(folder: Path) -> None:
    """Write 16 training images of two classes, of which the last one is cut off."""
    rng = np.random.default_rng(0)
    for number in range(20):
        path = folder / ("train" if number < 16 else "val") / str(number % 2) / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(path)
    last = folder / "train" / "1" / "15.png"
    last.write_bytes(last.read_bytes()[:-60])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_checkpoint: Path, small_npz: Path) -> Path:
    """Return a folder with what the work needs."""
    folder = tmp_path_factory.mktemp("distributed")
    shutil.copy(small_checkpoint, folder / "small.safetensors")
    shutil.copy(small_npz, folder / "small.npz")
    damaged_images(folder / "images")
    distributed_work.stopped(folder / "of-one.resume")
    return folder


@pytest.fixture(scope="module")
def exit_code_and_errors(folder: Path) -> tuple[int, str]:
    """Let two processes do the work."""
    process = torchrun(str(HERE / "distributed_work.py"), str(folder), folder=folder)
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


@pytest.fixture(scope="module")
def two(folder: Path, exit_code_and_errors: tuple[int, str]) -> dict[str, Any]:
    """Return what two processes found."""
    assert (folder / "found.pt").exists(), exit_code_and_errors[1]
    found: dict[str, Any] = torch.load(folder / "found.pt", weights_only=False)
    assert found["processes"] == 2
    return found


def farthest(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    assert first.keys() == second.keys()
    return max(float((first[k].double() - second[k].double()).abs().max()) for k in first)


# The same as one process


def test_a_net_without_norms_gets_the_same_weights(two: dict[str, Any]) -> None:
    one = distributed_work.plain()
    assert farthest(one.last, two["plain"].last) < 1e-6
    assert two["plain"].curve == one.curve


def test_batch_norms_see_the_whole_batch_and_a_teacher_teaches_everywhere(two: dict[str, Any]) -> None:
    one = distributed_work.normed_and_taught()
    assert farthest(one.last, two["normed"].last) < 1e-4
    assert two["normed"].best_accuracy == one.best_accuracy


def test_a_parameter_that_is_not_used_stays(two: dict[str, Any]) -> None:
    one = distributed_work.with_spare()
    assert farthest(one.last, two["spare"].last) < 1e-6
    assert two["spare"].last["spare"].tolist() == [1, 1, 1]


def test_recovery_after_pruning(two: dict[str, Any]) -> None:
    one = distributed_work.recovered()
    assert farthest(one.last, two["recovered"].last) < 1e-4


def test_quantization_aware_training_and_its_ranges(two: dict[str, Any], folder: Path) -> None:
    one = distributed_work.quantized(folder)
    step = float(one["logits"].max() - one["logits"].min()) / 255  # of the last range; a last bit may tip one value
    assert float((one["logits"] - two["quantized"]["logits"]).abs().max()) <= 1.01 * step
    losses = [[row["loss"] for row in curve] for curve in (one["curve"], two["quantized"]["curve"])]
    assert losses[0] == pytest.approx(losses[1], abs=5e-5)


# Going on with another number of processes


def test_two_go_on_from_where_one_was_stopped(two: dict[str, Any]) -> None:
    unbroken = train(tiny(), task(), FEW, Context())
    assert farthest(unbroken.last, two["gone on"].last) < 1e-4
    assert [row["epoch"] for row in two["gone on"].curve] == [1, 2]


@pytest.mark.usefixtures("two")
def test_one_goes_on_from_where_two_were_stopped(folder: Path) -> None:
    unbroken = train(tiny(), task(), FEW, Context())
    resumed = train(tiny(), task(), FEW, Context(), state_file=folder / "of-2.resume", resume=True)
    assert farthest(unbroken.last, resumed.last) < 1e-4


# Who says and writes


def test_outputs_are_written_once_and_said_once(two: dict[str, Any], folder: Path) -> None:
    summary, said = two["written"]
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["trained.last.safetensors", "trained.safetensors"]
    assert read_weights(folder / "out" / "trained.safetensors").spec is not None
    assert summary["checkpoint"] == str(folder / "out" / "trained.safetensors")
    assert said.count("01-train: starts") == 1
    assert "2 processes train together, with 8 images each a step" in said
    assert len(list((folder / "cache" / "stages" / "entries").iterdir())) == 1


# Errors


def test_an_image_that_one_process_cannot_read_ends_the_training_in_both(two: dict[str, Any]) -> None:
    assert "15.png cannot be decoded" in two["damaged"]


def test_the_team_outlives_an_error_that_all_know_of(two: dict[str, Any]) -> None:
    assert farthest(two["after errors"].last, two["plain"].last) == 0


def test_a_batch_that_is_smaller_than_the_team_is_refused(two: dict[str, Any]) -> None:
    assert two["too few"].startswith("a batch of 1 cannot be shared by 2 processes. Give --batch-size 2 or more")


def test_the_exit_code_is_that_of_the_first_process(exit_code_and_errors: tuple[int, str]) -> None:
    code, errors = exit_code_and_errors
    assert code == 1  # torchrun's own, which tells the first one's: that of a DataError
    assert "failed (exitcode: 4)" in errors
    assert "Traceback" not in errors.partition("torch/distributed/elastic")[0]


SLOW_TO_END = """
import os, sys, time
import attendc

leads = os.environ["RANK"] == "0"
code = attendc.run_together(lambda: 4)
if leads:
    time.sleep(2)
    print("the first process has said everything", file=sys.stderr)
sys.exit(code)
"""


def test_the_others_wait_for_the_end_of_a_first_process_that_failed(tmp_path: Path) -> None:
    """Else torchrun, which ends all when one fails, would end it before its last words."""
    (tmp_path / "slow_to_end.py").write_text(SLOW_TO_END)
    process = torchrun("slow_to_end.py", folder=tmp_path)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "the first process has said everything" in errors


def lines_until(process: subprocess.Popen[str], beginning: str) -> Iterator[str]:
    assert process.stderr is not None
    for line in process.stderr:
        yield line
        if line.startswith(beginning):
            return


def helper_of(process: subprocess.Popen[str]) -> int:
    """Return the id of the process that helps the first one."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return next(int(c) for c in children if b"\0RANK=1\0" in Path(f"/proc/{c}/environ").read_bytes())


def test_a_process_that_is_killed_ends_all_and_one_process_goes_on(tmp_path: Path, small_npz: Path) -> None:
    command = ["train", "--model=attendnext", *TINY_ARGS, f"--data={small_npz}", "--input-size=16x16", "--epochs=60"]
    command += ["--batch-size=16", "--threads=1", "-o", "trained.safetensors"]
    with torchrun("-m", "attendc", *command, folder=tmp_path) as process:
        said = "".join(lines_until(process, "epoch 3:"))
        assert "epoch 3:" in said
        os.kill(helper_of(process), signal.SIGKILL)
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 1, said
    assert "Signal 9 (SIGKILL)" in errors
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    env["ATTENDC_CACHE"] = str(tmp_path / "cache")
    again = [sys.executable, "-m", "attendc", *command]
    done = subprocess.run(again, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=True)
    assert "training goes on from step " in done.stderr
    assert (tmp_path / "trained.safetensors").exists()


# Without torchrun


def test_alone_a_command_is_just_done() -> None:
    assert run_together(lambda: 7) == 7
    assert (the_team().size, the_team().is_alone, the_team().leads) == (1, True, True)


@pytest.mark.parametrize(("count", "size"), [(64, 2), (15, 2), (7, 3), (3, 3), (1, 2)])
def test_every_image_of_a_batch_is_one_process_s(count: int, size: int) -> None:
    shares = [list(range(count))[Team(rank, size).part_of(count)] for rank in range(size)]
    assert [image for share in shares for image in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_zeros_that_are_held_can_be_sent(mini: Dataset, tmp_path: Path) -> None:
    model = tiny()
    model.head.weight.data[0] = 0
    torch.save(frozen_zeros(model), tmp_path / "sent")
    hold = torch.load(tmp_path / "sent", weights_only=False)
    other = tiny(seed=2)
    hold(other, 0, 0)
    assert other.head.weight[0].abs().max() == 0
    assert other.head.weight[1].abs().max() > 0
