"""What runs for a process that is killed does not go on without it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from arm.bench_nets import plain_conv

from attendc.arm.emulation.process import WORK
from attendc.arm.measure.timing import TimeOptions, time_job

STARTER = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(600)"


def is_running(pid: str) -> bool:
    """Return whether there is such a process, and it is not one that ended and that nobody asked about."""
    status = Path("/proc") / pid / "stat"
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_the_script_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    file = plain_conv(tmp_path, channels=16)
    (tmp_path / "job").write_text(json.dumps(time_job([str(file)], ["tflite"], TimeOptions(runs=10**7))))
    script = [sys.executable, str(WORK), str(tmp_path / "job"), str(tmp_path / "results")]
    with subprocess.Popen([sys.executable, "-c", STARTER, *script], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = starter.stdout.readline().strip()
        until = time.monotonic() + 60
        while not ((tmp_path / "results").exists() and '"at": 5' in (tmp_path / "results").read_text()):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert is_running(pid)
        starter.kill()
    until = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < until
        time.sleep(0.02)
