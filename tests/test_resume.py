"""Every training goes on after a kill, and ends with the very bits of a run that was not killed.

A run is killed from outside of our code: where it reports progress (after a step, or when the bar is closed), or where
it says that an epoch has ended. Each goes on with new objects, one in a new process too.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import PREPROCESS, SMALL, TINY, Built, linear, probe, some, tiny
from torch import Tensor
from watch import NEVER, Watch

import attendc.train
from attendc.compress.masks import MaskKind
from attendc.compress.pruning.prune import Pruned, PruneOptions, PruneTask, prune_network
from attendc.compress.qat import train_quantized
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.files import sha256
from attendc.jobs.mask import MaskRequest, mask_checkpoint
from attendc.opening import CheckpointRequest, open_checkpoint
from attendc.recipe import ModelSection
from attendc.stages.mask import MaskedNetwork, mask
from attendc.stages.mask_config import MaskConfig
from attendc.stages.train import train_network
from attendc.stages.train_config import TrainConfig
from attendc.train import Task, TrainOptions, TrainResult, train

pytestmark = pytest.mark.slow  # networks are trained, killed and trained again

# 120 images: 6 steps an epoch. QAT freezes ranges before step 8 (counted from 0). States: steps 2, 4, 6, 8, 10, 12.
QAT = TrainOptions(epochs=2, batch_size=20, lr=5e-3, weight_decay=0.0, flip=False, save_every=2, distill=0.5)
STEPS = 12


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


KILLS: dict[str, dict[str, Any]] = {
    "before the first state": {"after": 1},
    "between two states": {"after": 3},
    "at a state": {"after": 4},
    "at the last step of an epoch": {"after": 6},
    "after an epoch was measured": {"at_epoch": 1},
    "in the second epoch": {"after": 7},
    "before the ranges freeze": {"after": 8},
    "after the ranges froze": {"after": 9},
    "with a state of frozen ranges": {"after": 11},
    "at the very last step": {"after": 12},
    "after the last epoch was measured": {"at_epoch": 2},
    "when all was saved": {"at_close": True},
}


# Quantization-aware training


@pytest.fixture(scope="module")
def task(mini: Dataset) -> Task:
    """Return 120 images to train on and 40 to validate."""
    return Task(some(mini.train, 12), some(mini.test, 4), SMALL)


def quantized(built: Built, task: Task, context: Context) -> tuple[dict[str, Tensor], Any, TrainResult]:
    """Return weights, plan and how training went."""
    taught = dataclasses.replace(task, teacher=built.net)
    graph, plan, result = train_quantized(built.ready, built.plan, taught, QAT, context)
    return graph.state_dict(), plan, result


def same_training(first: TrainResult, second: TrainResult) -> bool:
    numbers = [(r.best_accuracy, r.last_accuracy, r.curve) for r in (first, second)]
    return numbers[0] == numbers[1] and equal(first.best, second.best) and equal(first.last, second.last)


@pytest.fixture(scope="module")
def unbroken(built: Built, task: Task) -> tuple[dict[str, Tensor], Any, TrainResult]:
    """Return what comes out where nothing is saved and nothing is killed."""
    return quantized(built, task, Context())


@pytest.mark.parametrize("kill", KILLS)
def test_killed_qat_goes_on_to_the_same_weights_ranges_and_curve(
    built: Built, task: Task, unbroken: Any, tmp_path: Path, kill: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        quantized(built, task, Watch(tmp_path, **KILLS[kill]).context)
    weights, plan, result = quantized(built, task, Watch(tmp_path).context)
    assert equal(weights, unbroken[0])
    assert plan == unbroken[1]
    assert same_training(result, unbroken[2])


def test_a_run_that_is_killed_again_and_again_ends_the_same(
    built: Built, task: Task, unbroken: Any, tmp_path: Path
) -> None:
    for _ in range(4):  # 2, 4, 6 and 8 are saved: each gets two steps and one that is lost
        with pytest.raises(KeyboardInterrupt):
            quantized(built, task, Watch(tmp_path, after=3).context)
    last = Watch(tmp_path)
    weights, plan, result = quantized(built, task, last.context)
    assert last.begun == [8]
    assert equal(weights, unbroken[0])
    assert plan == unbroken[1]
    assert same_training(result, unbroken[2])


@pytest.mark.parametrize(("after", "left"), [(1, 12), (3, 10), (4, 10), (5, 8), (11, 2), (12, 2)])
def test_a_kill_costs_at_most_the_steps_since_the_last_state(
    built: Built, task: Task, tmp_path: Path, after: int, left: int
) -> None:
    """A state is written after the step was reported: a kill by that report still loses it."""
    with pytest.raises(KeyboardInterrupt):
        quantized(built, task, Watch(tmp_path, after=after).context)
    again = Watch(tmp_path)
    quantized(built, task, again.context)
    assert again.steps == left
    assert again.begun == [STEPS - left]
    assert (f"training goes on from step {STEPS - left}" in again.said) == (left < STEPS)


def test_a_finished_training_is_not_done_again(built: Built, task: Task, unbroken: Any, tmp_path: Path) -> None:
    quantized(built, task, Watch(tmp_path).context)
    again = Watch(tmp_path)
    weights, plan, result = quantized(built, task, again.context)
    assert again.steps == 0
    assert again.said == [f"training goes on from step {STEPS}"]
    assert equal(weights, unbroken[0])
    assert plan == unbroken[1]
    assert same_training(result, unbroken[2])


SCRIPT = """
import hashlib, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from nets import SMALL, build, mixed, some
from test_resume import Watch, quantized
from attendc.data.images import evenly
from attendc.data.preprocess import batches
from attendc.data.sources import load_dataset
from attendc.train import Task

folder, after = Path(sys.argv[1]), int(sys.argv[2])
data = load_dataset("fashion-mnist-mini")
made = build(mixed(), [x for x, _ in batches(evenly(data.train, 8), SMALL, batch_size=1)], folder)
task = Task(some(data.train, 12), some(data.test, 4), SMALL)
weights, plan, result = quantized(made, task, Watch(folder if after else None, after=after).context)
digest = hashlib.sha256(repr((plan, result.curve, result.best_accuracy)).encode())
for name, value in sorted(weights.items()):
    digest.update(name.encode() + value.contiguous().numpy().tobytes())
print(digest.hexdigest())
"""


def test_a_new_process_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def run(after: int, hash_seed: int) -> subprocess.CompletedProcess[str]:
        here = Path(__file__).parent
        paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": str(hash_seed)}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(after)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)

    whole = run(0, 1)
    assert whole.returncode == 0, whole.stderr
    for seed, after in enumerate((5, 6), start=2):  # states: 4, then 4 + 4 = 8, from which on ranges are frozen
        killed = run(after, seed)
        assert "KeyboardInterrupt" in killed.stderr
    resumed = run(NEVER, 4)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == whole.stdout


# Recovery in rounds

ROUNDS = PruneOptions(
    "params", "0.6", importance="l2", steps=2, recover=TrainOptions(epochs=1, batch_size=8, save_every=2, distill=0.5)
)


def pruned(mini: Dataset, context: Context) -> Pruned:
    """Prune the tiny net in two rounds; of 228 images, each sees 114: 14 steps."""
    data = dataclasses.replace(mini, train=some(mini.train, 24), test=some(mini.test, 2))
    return prune_network(tiny().eval(), PruneTask(probe(PREPROCESS), PREPROCESS, data, data.test), ROUNDS, context)


@pytest.mark.parametrize(
    ("kill", "begun"),
    [
        ({"after": 3}, [2, 0]),
        ({"after": 14}, [12, 0]),
        ({"at_close": True}, [14, 0]),
        ({"after": 15}, [14, 0]),
        ({"after": 20}, [14, 4]),  # the sixth step of the second round
        ({"after": 28}, [14, 12]),
    ],
)
def test_a_killed_recovery_goes_on_in_its_round(
    mini: Dataset, tmp_path: Path, kill: dict[str, Any], begun: list[int]
) -> None:
    whole = pruned(mini, Context())
    with pytest.raises(KeyboardInterrupt):
        pruned(mini, Watch(tmp_path, **kill).context)
    again = Watch(tmp_path)
    found = pruned(mini, again.context)
    assert again.begun == begun
    assert again.steps == 28 - sum(begun)
    assert equal(found.model.state_dict(), whole.model.state_dict())
    assert (found.plan, found.steps, found.rounds) == (whole.plan, whole.steps, whole.rounds)


# Masks, and training from scratch: 57 images are 3 steps an epoch, and a state is written at the end of each

EPOCH_KILLS = [{"after": 1}, {"after": 3}, {"at_epoch": 1}, {"after": 5}, {"at_close": True}]


def masked(checkpoint: Path, data: Path, kind: MaskKind, context: Context) -> MaskedNetwork:
    """Mask half of the weights and recover."""
    opened = open_checkpoint(CheckpointRequest(checkpoint, model="nets:small", data=str(data)))
    return mask(opened, MaskConfig(kind, epochs=2, batch_size=16), context)


@pytest.mark.parametrize("kind", ["unstructured", "2:4"])
@pytest.mark.parametrize("kill", EPOCH_KILLS)
def test_masks_go_on_with_the_same_zeros(
    tmp_path: Path, small_checkpoint: Path, small_npz: Path, kind: MaskKind, kill: dict[str, Any]
) -> None:
    expected = masked(small_checkpoint, small_npz, kind, Context())
    with pytest.raises(KeyboardInterrupt):
        masked(small_checkpoint, small_npz, kind, Watch(tmp_path, **kill).context)
    found = masked(small_checkpoint, small_npz, kind, Watch(tmp_path).context)
    assert equal(found.opened.model.state_dict(), expected.opened.model.state_dict())
    assert (found.steps, found.curve, found.zeros) == (expected.steps, expected.curve, expected.zeros)


def from_scratch(data: Path, context: Context) -> TrainResult:
    """Train the tiny net."""
    model = ModelSection(name="attendnext", args={k: v for k, v in TINY.items() if k != "classes"})
    config = TrainConfig(epochs=2, batch_size=16, input_size=(16, 16))
    return train_network(model, str(data), config, context).result


@pytest.mark.parametrize("kill", EPOCH_KILLS)
def test_training_from_scratch_goes_on(tmp_path: Path, small_npz: Path, kill: dict[str, Any]) -> None:
    expected = from_scratch(small_npz, Context())
    with pytest.raises(KeyboardInterrupt):
        from_scratch(small_npz, Watch(tmp_path, **kill).context)
    again = Watch(tmp_path)
    assert same_training(from_scratch(small_npz, again.context), expected)
    finished = 6 if "at_close" in kill else 3 if kill.get("after", 0) > 3 else 0
    assert again.begun == [finished]


def test_a_killed_command_goes_on_when_it_is_typed_again(
    tmp_path: Path, small_checkpoint: Path, small_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resume folder lies in the cache, where the same command finds it."""
    source = CheckpointRequest(small_checkpoint, model="nets:small", data=str(small_npz))
    options = TrainOptions(epochs=2, batch_size=16)

    def written(name: str, cache: str, context: Context) -> str:
        monkeypatch.setenv("ATTENDC_CACHE", str(tmp_path / cache))
        mask_checkpoint(MaskRequest(source, tmp_path / name, "2:4", 0.5, options), context)
        return sha256(tmp_path / name)

    whole = written("whole.safetensors", "one", Context())
    with pytest.raises(KeyboardInterrupt):
        written("killed.safetensors", "another", Watch(None, after=4).context)
    assert not (tmp_path / "killed.safetensors").exists()
    again = Watch(None)
    assert written("killed.safetensors", "another", again.context) == whole
    assert again.begun == [3]


def test_without_a_resume_folder_nothing_is_kept(tmp_path: Path, built: Built, task: Task) -> None:
    assert Context().state_file("qat") is None
    assert Context(resume_folder=tmp_path).state_file("qat") == tmp_path / "qat.resume"
    quantized(built, task, Context())
    assert not list(tmp_path.iterdir())


# States that do not fit


def damaged(state: Path) -> None:
    state.write_bytes(state.read_bytes()[:-300])


def of_other_options(state: Path) -> None:
    content = torch.load(state)
    content["signature"]["lr"] = 1.0
    torch.save(content, state)


def of_a_net_with_another_head(state: Path) -> None:
    content = torch.load(state)
    content["model"] = {k: v[:3] if k.startswith("head") else v + 1 for k, v in content["model"].items()}
    torch.save(content, state)


def of_another_optimizer(state: Path) -> None:
    content = torch.load(state)
    content["model"] = {k: v + 1 for k, v in content["model"].items()}
    content["optimizer"]["param_groups"].pop()
    torch.save(content, state)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damaged, "cannot be read: "),
        (of_other_options, "is of another run: lr 1.0 then, 0.004 now"),
        (of_a_net_with_another_head, "is of another network"),
        (of_another_optimizer, "is of another network"),
    ],
)
def test_a_state_that_does_not_fit_is_said_and_training_begins_anew(
    mini: Dataset, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    few = TrainOptions(epochs=2, batch_size=8, save_every=2)
    seen = Task(some(mini.train, 4), some(mini.test, 2), PREPROCESS)
    whole = train(tiny(), seen, few, Context())
    killed = Watch(tmp_path, after=7).context
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), seen, few, killed, state_file=killed.state_file("x"))
    change(tmp_path / "x.resume")
    again = Watch(tmp_path)
    result = train(tiny(), seen, few, again.context, state_file=again.context.state_file("x"))
    assert again.begun == [0]
    assert said in again.said[0]
    assert again.said[0].endswith("; training begins anew")
    assert again.context.warnings == []  # what comes out is the same: the manifest has nothing to tell
    assert same_training(result, whole)


def test_qat_begins_anew_where_its_state_does_not_fit(built: Built, task: Task, unbroken: Any, tmp_path: Path) -> None:
    """The state has frozen ranges, which must not be left behind."""
    with pytest.raises(KeyboardInterrupt):
        quantized(built, task, Watch(tmp_path, after=11).context)
    content = torch.load(tmp_path / "qat.resume")
    content["optimizer"]["param_groups"].pop()
    torch.save(content, tmp_path / "qat.resume")
    weights, plan, _ = quantized(built, task, Watch(tmp_path).context)
    assert equal(weights, unbroken[0])
    assert plan == unbroken[1]


# How often


def test_slow_steps_are_saved_more_often(mini: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every step took longer than the time between two states."""
    options = TrainOptions(epochs=1, batch_size=8)  # 5 steps, and a state every 200
    seen = Task(some(mini.train, 4), some(mini.test, 2), PREPROCESS)
    whole = train(linear(), seen, options, Context())
    monkeypatch.setattr(attendc.train, "SAVE_SECONDS", 0.0)
    killed = Watch(tmp_path, after=4).context
    with pytest.raises(KeyboardInterrupt):
        train(linear(), seen, options, killed, state_file=killed.state_file("x"))
    again = Watch(tmp_path)
    result = train(linear(), seen, options, again.context, state_file=again.context.state_file("x"))
    assert again.begun == [3]
    assert same_training(result, whole)
