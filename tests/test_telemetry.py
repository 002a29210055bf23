"""onnxruntime 1.29 and newer tell their maker of the files that they open, unless the environment says no."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASK = "import {module}, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"


@pytest.mark.parametrize("module", ["attendc", "attendc.arm.guest.work"])
@pytest.mark.parametrize(("before", "after"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_nothing_is_told_unless_the_user_has_decided(module: str, before: dict[str, str], after: str) -> None:
    without = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", ASK.format(module=module)]
    done = subprocess.run(command, env=without | before, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after
