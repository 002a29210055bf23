"""Milliseconds over ssh, against a real server on this computer; each error in its words, and nothing left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from arm.one_op import T, one
from arm.sshd import Server, know, make_key, serving

from attendc.arm.board.host import SshOptions
from attendc.arm.board.ssh import time_over_ssh
from attendc.arm.measure.timing import TimeOptions, Timing
from attendc.cli.main import main
from attendc.context import Advance, Context
from attendc.errors import AttendcError, ConversionError, OutputError

SHORT = TimeOptions(threads=1, warmup=1, runs=6)
LONG = TimeOptions(threads=1, warmup=1, runs=10**7)
"""Hours: what breaks off a measurement comes in the middle."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("a server") / "of tests") as running:
        yield running


@pytest.fixture
def ssh(server: Server) -> Iterator[SshOptions]:
    """Return how the server lets one in, with this Python, which has the runtimes; nothing of a test may stay there."""
    yield SshOptions(server.folder / "key", server.config, python=sys.executable)
    assert server.left() == []


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of one addition of int8."""
    return one(tmp_path_factory.mktemp("files"), "ADD", T((1, 8)), T((1, 8)), {}, "AddOptions", T((1, 8)))


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of one ReLU."""
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 8]) for n in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    path = tmp_path_factory.mktemp("files") / "relu.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def when_timing(do: Callable[[], None], *, phase: str = "time") -> Context:
    """Return a context that does something once, as soon as the first inferences are timed, or megabytes copied."""
    waiting = [do]

    def advance(count: int, text: str) -> None:
        if count > 0 and waiting:
            waiting.pop()()

    @contextlib.contextmanager
    def progress(title: str, total: int) -> Iterator[Advance]:
        yield advance if title.startswith(phase) else lambda count, text: None

    return Context(progress=progress)


def failure(server: Server, file: Path, ssh: SshOptions, host: str = "", context: Context | None = None) -> str:
    """Return the error of a run that cannot go well."""
    with pytest.raises(AttendcError) as caught:
        time_over_ssh(host or server.address, [file], LONG, context or Context(), ssh=ssh)
    return str(caught.value)


def wait_until_gone(server: Server, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while server.left() and time.monotonic() < until:
        time.sleep(0.02)
    assert server.left() == []


def workers(server: Server) -> list[int]:
    """Return the processes that run in folders of the server's sessions."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if server.temporary in (entry / "cwd").readlink().parents:
                found.append(int(entry.name))
    return found


# What works


@pytest.mark.slow
def test_files_are_timed_on_the_host_of_an_alias(
    server: Server, ssh: SshOptions, tflite: Path, onnx_file: Path
) -> None:
    said: list[str] = []
    with_key_of_the_alias = dataclasses.replace(ssh, identity=None)
    timings = time_over_ssh("board", [tflite, onnx_file], SHORT, Context(say=said.append), ssh=with_key_of_the_alias)
    assert len(timings) == 2
    for timing in timings:
        assert 0 < timing.low_ms <= timing.median_ms <= timing.high_ms < 1000
        assert (timing.runs, timing.warmup, timing.threads) == (6, 1, 1)
    assert "its own ai_edge_litert 2" in said[0]
    assert "onnxruntime 1" in said[0]


@pytest.mark.slow
def test_names_of_files_reach_no_shell_and_what_a_login_prints_does_not_matter(
    server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "a 'b' \"c\" $(touch owned); `touch owned` &.tflite"
    shutil.copy(tflite, odd)
    python = tmp_path / "chatty python"
    python.write_text(f'#!/bin/sh\nprintf "Welcome! attendc: {{}}"\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    chatty = dataclasses.replace(ssh, python=str(python))
    assert len(time_over_ssh(server.address, [odd], SHORT, Context(), ssh=chatty)) == 1
    assert not any((folder / "owned").exists() for folder in (Path.cwd(), Path.home(), tmp_path))


@pytest.mark.slow
def test_the_command(server: Server, ssh: SshOptions, tflite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--ssh-config", str(server.config), "--remote-python", sys.executable, "--runs", "6", "--json"]
    assert main(["bench", str(tflite), "--on", "ssh:board", *options]) == 0
    (entry,) = json.loads(capfd.readouterr().out)
    assert (entry["file"], entry["core"], entry["runs"]) == (str(tflite), "ssh:board", 6)
    assert 0 < entry["low"] <= entry["milliseconds"] <= entry["high"]
    assert "instructions" not in entry


# Who it is


@pytest.mark.slow
def test_a_host_whose_key_is_not_known_is_refused_until_the_user_accepts_it(
    server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path
) -> None:
    config, known = other_known_hosts(server, tmp_path)
    strict = dataclasses.replace(ssh, config=config, identity=None)
    said = failure(server, tflite, strict, "board")
    assert f"the host key of board is not in known_hosts. Type once ssh -F {config} board and compare" in said
    accepting = dataclasses.replace(strict, accept_new_host_key=True)
    assert len(time_over_ssh("board", [tflite], SHORT, Context(), ssh=accepting)) == 1
    assert (server.folder / "host_key.pub").read_text().split()[1] in known.read_text()


@pytest.mark.slow
def test_a_host_whose_key_has_changed_is_refused_whatever_the_user_accepts(
    server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path
) -> None:
    config, known = other_known_hosts(server, tmp_path)
    make_key(tmp_path / "another")
    know(known, server.port, tmp_path / "another")
    said = failure(server, tflite, dataclasses.replace(ssh, config=config, accept_new_host_key=True), "board")
    assert "board has another host key than known_hosts says" in said
    assert re.search(f"(type once ssh-keygen -f .?|remove line 1 of ){known}", said)  # Debian's ssh, and others'


def other_known_hosts(server: Server, folder: Path) -> tuple[Path, Path]:
    """Return the client's config with known hosts of its own, and these: nobody is known."""
    known = folder / "known_hosts"
    known.touch()
    config = folder / "config"
    config.write_text(server.config.read_text().replace(str(server.folder / "known_hosts"), str(known)))
    return config, known


@pytest.mark.slow
def test_a_wrong_key(server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "100%~wrong")
    said = failure(server, tflite, dataclasses.replace(ssh, identity=tmp_path / "100%~wrong"))
    assert f"{server.address} refuses the key" in said
    assert "Permission denied (publickey)" in said
    assert "ssh-copy-id" in said


@pytest.mark.slow
def test_a_key_that_others_can_read(server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path) -> None:
    key = tmp_path / "open"
    shutil.copy(server.folder / "key", key)
    key.chmod(0o644)
    assert f"Type chmod 600 {key}" in failure(server, tflite, dataclasses.replace(ssh, identity=key))


# What is not there


@pytest.mark.slow
def test_a_host_that_is_not_there(server: Server, ssh: SshOptions, tflite: Path) -> None:
    assert "there is no host no-such-host.invalid" in failure(server, tflite, ssh, "pi@no-such-host.invalid")


@pytest.mark.slow
def test_a_port_where_nobody_listens_and_one_where_nobody_answers(
    server: Server, ssh: SshOptions, tflite: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        said = failure(server, tflite, ssh, f"127.0.0.1:{port}")
        assert f"127.0.0.1:{port} takes no connections on port {port}" in said
        silent.listen()
        said = failure(server, tflite, dataclasses.replace(ssh, timeout=1), f"127.0.0.1:{port}")
        assert f"127.0.0.1:{port} did not answer within 1 seconds" in said


@pytest.mark.slow
def test_a_board_without_python(server: Server, ssh: SshOptions, tflite: Path) -> None:
    said = failure(server, tflite, dataclasses.replace(ssh, python="python9; echo"))
    assert f"{server.address} cannot run python9; echo" in said
    assert "not found" in said
    assert "--remote-python" in said


@pytest.mark.slow
def test_an_account_that_runs_nothing(server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nologin"
    nothing.write_text("#!/bin/sh\necho This account is currently not available.\nexit 1\n")
    nothing.chmod(0o755)
    said = failure(server, tflite, dataclasses.replace(ssh, python=str(nothing)))
    assert "ended at once with code 1: This account is currently not available" in said


@pytest.mark.slow
def test_a_board_without_runtimes(server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = dataclasses.replace(ssh, python=str(tmp_path / "bare" / "bin" / "python"), runtime="own")
    said = failure(server, tflite, bare)
    assert "has no ai_edge_litert and no numpy" in said
    assert "pip install ai-edge-litert numpy" in said


@pytest.mark.slow
def test_no_room_on_the_board(server: Server, ssh: SshOptions, tmp_path: Path) -> None:
    huge = tmp_path / "huge.tflite"
    huge.touch()
    os.truncate(huge, 1 << 43)  # 8 TiB, none of them written
    with pytest.raises(OutputError, match=r"no room for 83886\d\d MB: \d+ MB free in .*Free some space there"):
        time_over_ssh(server.address, [huge], SHORT, Context(), ssh=ssh)


@pytest.mark.slow
def test_a_file_that_the_board_cannot_write(server: Server, ssh: SshOptions, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -f 1000\nexec {sys.executable} "$@"\n')  # at most 1 MB a file
    python.chmod(0o755)
    large = tmp_path / "large.onnx"
    large.touch()
    os.truncate(large, 1 << 24)
    said = failure(server, large, dataclasses.replace(ssh, python=str(python)))
    assert f"{server.address}: OSError: [Errno 27] File too large" in said


# What breaks off


@pytest.mark.slow
def test_a_damaged_file(server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(tflite.read_bytes()[:64])
    with pytest.raises(ConversionError, match=r"cannot run .*damaged.tflite"):
        time_over_ssh(server.address, [tflite, damaged], SHORT, Context(), ssh=ssh)


@pytest.mark.slow
def test_a_runtime_that_dies(server: Server, ssh: SshOptions, tflite: Path) -> None:
    def kill() -> None:
        for pid in workers(server):
            os.kill(pid, signal.SIGKILL)

    said = failure(server, tflite, ssh, context=when_timing(kill))
    assert f"{tflite} brought the runtime on {server.address} down (SIGKILL)" in said
    assert "too little memory" in said


@pytest.mark.slow
def test_a_connection_that_is_lost_is_told_and_the_board_cleans_up_by_itself(
    server: Server, ssh: SshOptions, tflite: Path
) -> None:
    left: list[Path] = []

    def drop() -> None:
        left.extend(server.left())
        server.drop()

    said = failure(server, tflite, ssh, context=when_timing(drop))
    assert f"the connection to {server.address} was lost" in said
    assert f"It removes {left[0]} within a minute" in said
    wait_until_gone(server)
    assert workers(server) == []


@pytest.mark.slow
def test_a_connection_that_is_lost_while_files_are_copied(server: Server, ssh: SshOptions, tmp_path: Path) -> None:
    large = tmp_path / "large.onnx"
    large.touch()
    os.truncate(large, 1 << 26)
    context = when_timing(server.drop, phase="copy")
    said = failure(server, large, ssh, context=context)
    assert f"the connection to {server.address} was lost" in said
    wait_until_gone(server)


@pytest.mark.slow
def test_ctrl_c_cleans_up(server: Server, ssh: SshOptions, tflite: Path) -> None:
    def interrupt() -> None:
        assert workers(server)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        time_over_ssh(server.address, [tflite], LONG, when_timing(interrupt), ssh=ssh)
    assert server.left() == []
    assert workers(server) == []


@pytest.mark.slow
def test_ctrl_c_ends_a_login_at_once(ssh: SshOptions, tflite: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        interrupt.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                time_over_ssh(f"127.0.0.1:{silent.getsockname()[1]}", [tflite], SHORT, Context(), ssh=ssh)
        finally:
            interrupt.cancel()
        assert time.monotonic() - began < 5  # the login itself may take 10


# With the runtimes brought along


@pytest.mark.slow
def test_an_emulated_board_gets_the_runtimes(
    arm_machine: Path, server: Server, ssh: SshOptions, tflite: Path, tmp_path: Path
) -> None:
    """A Cortex-A72 with Debian's Python, without a package: pip is not there, and nothing comes from the network."""
    prefix = arm_machine / "cores" / "cortex-a72"
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "python3.11").symlink_to(prefix / "usr" / "lib" / "python3.11")
    emulated = f'qemu-aarch64 -cpu cortex-a72 -0 "$0" -L "{prefix}" "{prefix}/usr/bin/python3.11"'
    python.write_text(f'#!/bin/sh\nexec {emulated} "$@"\n')
    python.chmod(0o755)
    said: list[str] = []
    board = dataclasses.replace(ssh, python=str(python))
    timing, = time_over_ssh(server.address, [tflite], SHORT, Context(say=said.append), ssh=board)  # fmt: skip
    assert isinstance(timing, Timing)
    assert "(aarch64, Python 3.11.2) gets ai-edge-litert 2.3.0, numpy 2.4.6" in said[0]
    assert len(said) == 1
