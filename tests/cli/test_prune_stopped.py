"""`attendc prune` that is stopped in the middle: its exit code, and that nothing is left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import INTERRUPTED, INTERRUPTED_NET, importable, nothing_left, stopped, told
from nets import NANO


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
    importable(monkeypatch, tmp_path / "interrupted_pruned_net.py", INTERRUPTED_NET)
    assert prune("--macs=0.7", "--model=interrupted_pruned_net:Net", model="") == 130
    assert told(capfd) == INTERRUPTED
    assert nothing_left(output)
    assert list(temporary.iterdir()) == []  # the log


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_stop_in_the_middle_leaves_nothing(output: Path, sent: signal.Signals, code: int) -> None:
    words = ["prune", str(NANO), "--macs=0.5", f"-o{output}"]
    ended, last = stopped(words, output, at="batch norms: 2048/2048", by=sent)  # recovery comes next
    assert ended == code
    assert last == (INTERRUPTED if code > 0 else "")
    assert nothing_left(output)
