"""What tests/test_distributed.py lets one process do, and two: `torchrun --nproc-per-node 2 THIS FOLDER`.

Of the two only the first one comes to `all_of_it`; the other helps it.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from nets import PREPROCESS, TINY, linear, some, tiny
from torch import nn

import attendc
from attendc.compress.pruning.recover import recover
from attendc.context import Context
from attendc.data.images import Dataset
from attendc.data.sources import load_dataset
from attendc.distributed.team import the_team
from attendc.errors import AttendcError, DataError
from attendc.train import Task, TrainOptions, train

FEW = TrainOptions(epochs=2, batch_size=15, lr=1e-2)  # 15: two processes have 7 and 8


class WithSpare(nn.Module):
    """A linear classifier with a parameter that nothing is computed from."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.spare = linear(), nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x)


class StopError(Exception):
    """Ends a training from outside."""


def task(teacher: nn.Module | None = None) -> Task:
    mini = load_dataset("fashion-mnist-mini")
    return Task(some(mini.train, 6), some(mini.test, 3), PREPROCESS, teacher)  # 60 images: 4 steps an epoch


def plain() -> Any:
    return train(linear(), task(), FEW, Context())


def normed_and_taught() -> Any:
    options = TrainOptions(epochs=2, batch_size=15, lr=1e-2, distill=0.5)
    return train(tiny(), task(linear(seed=3)), options, Context())


def with_spare() -> Any:
    return train(WithSpare(), task(), FEW, Context())


def recovered() -> Any:
    options = TrainOptions(epochs=1, batch_size=16, lr=1e-3, distill=0.9)
    mini = load_dataset("fashion-mnist-mini")
    few = Dataset("few", some(mini.train, 8), some(mini.test, 2), mini.labels)
    return recover(tiny(seed=1), tiny(seed=2), few, PREPROCESS, options, Context())


def quantized(folder: Path) -> Any:
    """Train for 6 steps, of which the last two have frozen ranges."""
    opened = attendc.load_checkpoint(folder / "small.safetensors", model="nets:small", data=str(folder / "small.npz"))
    config = attendc.QuantizeConfig(mode="qat", calib=8, epochs=2, batch_size=18, lr=1e-2)
    made = attendc.quantize(opened, config, Context())
    x = torch.linspace(-1, 3, 4 * 64).view(4, 1, 8, 8)
    return {"logits": made.graph(x), "curve": made.curve}


def gone_on(folder: Path) -> Any:
    """Go on from the state that one process left."""
    return train(tiny(), task(), FEW, Context(), state_file=folder / "of-one.resume", resume=True)


def stopped(state: Path) -> None:
    """Leave a state after the first epoch of two."""

    def stop(epochs: int, _accuracy: float) -> None:
        if epochs == 2:
            raise StopError

    one = task()
    try:
        train(tiny(), Task(one.train, one.val, PREPROCESS, on_epoch=stop), FEW, Context(), state_file=state)
    except StopError:
        return
    raise AssertionError


def refused(folder: Path, options: TrainOptions) -> AttendcError:
    """Return the error of training on a folder of 16 images, one of which is damaged."""
    images = load_dataset(str(folder / "images")).train
    try:
        train(linear(classes=2), Task(images, images, PREPROCESS), options, Context())
    except AttendcError as e:
        return e
    raise AssertionError


def written(folder: Path) -> Any:
    said: list[str] = []
    request = attendc.TrainRequest(
        folder / "out" / "trained.safetensors",
        model="attendnext",
        model_args={k: v for k, v in TINY.items() if k != "classes"},
        data=str(folder / "small.npz"),
        input_size=(16, 16),
        options=TrainOptions(epochs=1, batch_size=16),
    )
    return attendc.train_checkpoint(request, Context(say=said.append)), said


def all_of_it(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"processes": the_team().size, "plain": plain(), "normed": normed_and_taught()}
    found |= {"spare": with_spare(), "recovered": recovered(), "quantized": quantized(folder)}
    found |= {"gone on": gone_on(folder), "written": written(folder)}
    stopped(folder / f"of-{the_team().size}.resume")
    found["damaged"] = str(refused(folder, TrainOptions(epochs=1, batch_size=16)))
    found["too few"] = str(refused(folder, TrainOptions(epochs=1, batch_size=1)))
    return found | {"after errors": plain()}


def main() -> int:
    folder = Path(sys.argv[1])
    torch.save(all_of_it(folder), folder / "found.pt")
    return DataError.exit_code


if __name__ == "__main__":
    # What torch.export and torchao say of themselves is not of this.
    warnings.filterwarnings("error", module=r"torch\.(nn\.parallel|distributed|autograd).*")
    sys.exit(attendc.run_together(main))
