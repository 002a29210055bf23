"""How the bytes of outputs on a core are compared with those of this machine; nothing is emulated here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nets import SMALL
from torch import Tensor

from attendc.data.preprocess import random_images
from attendc.errors import UsageError
from attendc.on_cores import BytesOnCore, check_files, compare_bytes
from attendc.targets import Candidate

TFLITE = Candidate("tflite", "int8", Path("model.int8.tflite"))
TORCHSCRIPT = Candidate("torchscript", "int8", Path("model.int8.ts.pt"))
STEP = 0.25
HERE = torch.tensor([[0.0, 0.25], [0.5, -1.0], [2.0, 2.0]])


@pytest.mark.parametrize(
    ("there", "identical", "differing", "steps"),
    [
        (HERE.clone(), True, 0, 0.0),
        (HERE + torch.tensor([[0.0], [0.25], [0.0]]), False, 1, 1.0),  # 0.25 is one step
        (HERE + torch.tensor([[0.0, 0.75], [0.0, -0.25], [0.0, 0.0]]), False, 2, 3.0),
        (HERE * torch.tensor([[-1.0], [1.0], [1.0]]).where(HERE == 0, torch.tensor(1.0)), False, 1, 0.0),  # -0.0
    ],
)
def test_every_bit_counts(there: Tensor, identical: bool, differing: int, steps: float) -> None:
    outputs = {"tflite": HERE, "tflite@cortex-a72": there}
    found = compare_bytes([TFLITE], ["cortex-a72"], outputs, random_images(SMALL, 3), SMALL, step=STEP)
    assert found == (BytesOnCore("tflite@cortex-a72", "cortex-a72", "tflite", 3, identical, differing, steps),)


def test_formats_that_run_on_no_core_are_left_out() -> None:
    assert compare_bytes([TORCHSCRIPT], ["cortex-a72"], {}, random_images(SMALL, 3), SMALL, step=STEP) == ()


def test_where_no_file_runs_on_a_core_that_is_said() -> None:
    check_files([TFLITE, TORCHSCRIPT], ["cortex-a72"])
    check_files([TORCHSCRIPT], [])
    with pytest.raises(UsageError, match=r"no TFLite or ONNX file to run on cortex-a72\. Convert to one"):
        check_files([TORCHSCRIPT], ["cortex-a72"])
