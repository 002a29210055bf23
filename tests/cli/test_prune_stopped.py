"""`attendc prune` that is stopped in the middle: its exit code, and that nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import INTERRUPTED, nothing_left, told
from nets import NANO

ROOT = Path(__file__).parent.parent.parent

INTERRUPTED_NET = """
import signal
from nets import small
from torch import nn

class Net(nn.Sequential):
    '''The small net, interrupted as by Ctrl-C when it is first worked on.'''

    def __init__(self, middle):
        super().__init__(*small(middle))

    def __deepcopy__(self, memo):
        signal.raise_signal(signal.SIGINT)
"""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return where the checkpoint goes, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "x.safetensors"


def test_an_interruption_exits_with_130(
    prune: Callable[..., int],
    output: Path,
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "interrupted_pruned_net.py").write_text(INTERRUPTED_NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    given = ["--model=interrupted_pruned_net:Net", "--model-arg=middle=conv_bn_relu"]
    assert prune("--macs=0.7", *given, model="") == 130
    assert told(capfd) == INTERRUPTED
    assert nothing_left(output)
    assert list(temporary.iterdir()) == []  # the log


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_stop_in_the_middle_leaves_nothing(output: Path, sent: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "attendc", "prune", str(NANO), "--macs=0.5", f"-o{output}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(output.parent.parent)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        while line and not line.startswith("batch norms: 2048/2048"):  # recovery comes next
            line = process.stderr.readline()
        assert line
        process.send_signal(sent)
        rest = process.stderr.read().strip().splitlines()
    assert process.returncode == code
    assert rest[-1:] == ([INTERRUPTED] if code > 0 else [])
    assert nothing_left(output)
