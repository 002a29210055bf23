"""A run that is killed at any moment: the same command, typed again, ends with the very files of an unbroken run.

`ATTENDC_KILLS=10 pytest tests/test_kill.py` kills ten runs at moments drawn from anywhere in a run, instead of one.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from attendc.files import sha256

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("ATTENDC_KILLS", "1"))
HERE = Path(__file__).parent

# Of 60 training images 57 train, in 14 steps of 4 an epoch; a resume state is written at the end of each epoch.
EPOCHS, EPOCH_STEPS = 12, 14
RECIPE = """
version: 1
name: killed
model: {{checkpoint: {checkpoint}, factory: "nets:small"}}
data: {data}
stages:
  - quantize: {{mode: qat, calib: 8, epochs: {epochs}, batch_size: 4}}
  - convert: {{to: [onnx], dtypes: [int8]}}
  - verify: {{images: 20, min_agreement: 0, max_drop: 100}}
"""
STAGES = ["01-quantize", "02-convert", "03-verify"]


@dataclass(frozen=True)
class Place:
    """Where the command is typed: a folder with the recipe, a cache and the runs of its own."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Give the command as it runs; it is over when this is left."""
        paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "ATTENDC_CACHE": str(self.folder / "cache"), "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "attendc", "run", str(self.folder.parent / "killed.yaml"), *options]
        with subprocess.Popen(
            command, cwd=self.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def typed(self) -> str:
        """Let the command come to its end and return what it said."""
        with self.running() as process:
            _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
        return said

    def stopped(self, line: str, seconds: float, by: signal.Signals = signal.SIGKILL) -> tuple[int, str]:
        """Send a signal so long after a line that begins so, or after the start; return exit code and what was said."""
        with self.running() as process:
            said = read_until(process, line)
            time.sleep(seconds)
            process.send_signal(by)
            rest = process.communicate(timeout=200)[1]
        return process.returncode, said + rest

    def artefacts(self) -> dict[str, str]:
        """Return name -> sha256 of the only run, as the files are and as its manifest says."""
        (folder,) = self.runs.iterdir()  # no half folder lies beside it
        assert folder.name.startswith("killed-")
        outputs = json.loads((folder / "manifest.json").read_text())["outputs"]
        found = {name: sha256(folder / name) for name in outputs}
        assert found == {name: entry["sha256"] for name, entry in outputs.items()}
        return found


def read_until(process: subprocess.Popen[str], line: str) -> str:
    """Return what the command says up to a line that begins so."""
    said = ""
    assert process.stderr is not None
    while line:
        text = process.stderr.readline()
        said += text
        if text.startswith(line):
            break
        assert text, f"{line!r} was not said: {said}"
    return said


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, small_checkpoint: Path, small_npz: Path) -> Path:
    """Return a folder with the recipe."""
    folder = tmp_path_factory.mktemp("kill")
    text = RECIPE.format(checkpoint=small_checkpoint, data=small_npz, epochs=EPOCHS)
    (folder / "killed.yaml").write_text(text)
    return folder


def new_place(bench: Path, name: str) -> Place:
    (bench / name).mkdir()
    return Place(bench / name)


@dataclass(frozen=True)
class Unbroken:
    """Artefacts of a run that nobody killed, and how many seconds it took, in all and by stage."""

    artefacts: dict[str, str]
    total: float
    seconds: dict[str, float]


@pytest.fixture(scope="module")
def unbroken(bench: Path) -> Unbroken:
    place, started = new_place(bench, "unbroken"), time.monotonic()
    said = place.typed()
    total = time.monotonic() - started
    seconds = {name: float(found) for name, found in re.findall(r"^(\S+): done in (\S+) s$", said, re.MULTILINE)}
    assert list(seconds) == STAGES
    return Unbroken(place.artefacts(), total, seconds)


# What a command that is typed again must not do again


def finished(said: str) -> list[str]:
    """Return the stages that were surely kept: those before the last one that was begun or found."""
    return [name for name in STAGES if f"\n{name}: " in f"\n{said}"][:-1]


def check_went_on(before: str, after: str) -> None:
    """Check that the second of two attempts did nothing again that the first one had kept."""
    reached = [name for name in STAGES if f"\n{name}: " in f"\n{after}"]
    for name in finished(before):
        assert f"{name}: starts" not in after, (before, after)
        assert name not in reached or f"{name}: done before" in after, (before, after)
    epochs = [int(n) for n in re.findall(r"^epoch (\d+): ", before, re.MULTILINE)]
    trains = re.search(r"^epoch \d+: |^01-quantize: done in", after, re.MULTILINE)
    if trains and epochs and epochs[-1] > 1:  # the last one that was told may not have been saved yet
        steps = [int(n) for n in re.findall(r"^training goes on from step (\d+)$", after, re.MULTILINE)]
        assert steps, (before, after)
        assert steps[0] >= (epochs[-1] - 1) * EPOCH_STEPS, (before, after)


def test_a_run_that_is_killed_in_every_stage_ends_with_the_same_files(bench: Path, unbroken: Unbroken) -> None:
    drawn = random.Random(4)
    place = new_place(bench, "every-stage")
    moments = [
        (f"epoch {drawn.randrange(3, EPOCHS - 3)}: ", 0.0),
        ("02-convert: starts", drawn.uniform(0, unbroken.seconds["02-convert"])),
        ("03-verify: starts", drawn.uniform(0, unbroken.seconds["03-verify"])),
        ("03-verify: done", drawn.uniform(0, 0.1)),  # in the folder
    ]
    attempts = []
    for line, seconds in moments:
        code, said = place.stopped(line, seconds)
        assert code in (-signal.SIGKILL, 0), (line, seconds, said)
        attempts.append(said)
    attempts.append(place.typed())
    for before, after in itertools.pairwise(attempts):
        check_went_on(before, after)
    assert all(f"{name}: done before" in attempts[-1] for name in STAGES)
    assert place.artefacts() == unbroken.artefacts, moments


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_run_that_is_killed_at_random_ends_with_the_same_files(bench: Path, unbroken: Unbroken, seed: int) -> None:
    moment = random.Random(seed).uniform(0, unbroken.total)
    place = new_place(bench, f"random-{seed}")
    _, before = place.stopped("", moment)
    for folder in place.runs.glob("killed-*"):
        assert (folder / "manifest.json").exists(), moment
    after = place.typed()
    check_went_on(before, after)
    assert place.artefacts() == unbroken.artefacts, f"killed after {moment:.3f} s: {before}"


def test_ctrl_c_says_how_to_go_on_and_leaves_no_folder(bench: Path, unbroken: Unbroken) -> None:
    place = new_place(bench, "interrupted")
    code, before = place.stopped("epoch 4: ", 0.0, signal.SIGINT)
    assert code == 130
    last = before.splitlines()[-1]
    assert last == "interrupted: nothing half-written was left behind; the same command again goes on where it stopped"
    assert not place.runs.exists()
    after = place.typed()
    check_went_on(before, after)
    assert place.artefacts() == unbroken.artefacts


def test_two_at_once_share_the_work(bench: Path, unbroken: Unbroken) -> None:
    place = new_place(bench, "two")
    with place.running("-o", "runs/one") as first, place.running("-o", "runs/two") as second:
        said = [process.communicate(timeout=200)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    for name in STAGES:
        assert sum(f"{name}: starts" in one for one in said) == 1, said
        assert sum(f"{name}: done before" in one for one in said) == 1, said
    for folder in ("one", "two"):
        assert {name: sha256(place.runs / folder / name) for name in unbroken.artefacts} == unbroken.artefacts
    assert sorted(p.name for p in place.runs.iterdir()) == ["one", "two"]
