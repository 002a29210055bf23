"""What names a host over ssh, what does not, and what runs on the board behind it."""

from __future__ import annotations

import ast
import dataclasses
import sys
from pathlib import Path

import pytest

from attendc.arm.board import connection
from attendc.arm.board.connection import Look
from attendc.arm.board.host import RUNTIMES, Host, Runtime, SshOptions, parse_host, ssh_command
from attendc.arm.board.runtime import MODULES, choose_wheels
from attendc.arm.board.wheels import why_no_wheels
from attendc.cli import ssh_options
from attendc.context import Context
from attendc.errors import UsageError


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("board", Host("board")),
        ("pi@raspberrypi.local", Host("raspberrypi.local", "pi")),
        ("pi@192.168.1.20:2222", Host("192.168.1.20", "pi", 2222)),
        ("[fe80::1%eth0]:22", Host("fe80::1%eth0", "", 22)),
        ("name@firm.example@board", Host("board", "name@firm.example")),
    ],
)
def test_hosts(text: str, host: Host) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    ["", "-oProxyCommand=touch owned", "-lroot@board", "a b", "board;reboot", "$(reboot)", "pi@-oX", "@board", "board:",
     "board:0", "board:65536", "fe80::1", "board\n", "pi'@board", "pi@board/x"],
)  # fmt: skip
def test_what_ssh_or_a_shell_could_take_for_something_else_is_no_host(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no host.*user@host:port"):
        parse_host(text)


def test_a_computer_without_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"this computer has no ssh.*apt install openssh-client"):
        ssh_command(Host("board"), SshOptions())


@pytest.mark.parametrize("field", ["identity", "config"])
def test_files_of_ssh_that_are_not_there(tmp_path: Path, field: str) -> None:
    with pytest.raises(UsageError, match=r"there is no .* /.*/absent"):
        SshOptions(**{field: tmp_path / "absent"})  # type: ignore[arg-type]


# What runs there


def test_the_command_names_the_runtimes_that_there_are() -> None:
    assert ssh_options.RUNTIMES == RUNTIMES


BOARD = Look("aarch64", 64, "glibc 2.36", (3, 11, 2), "/usr/bin/python3", {})


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (BOARD, ""),
        (dataclasses.replace(BOARD, python=(3, 13, 5)), ""),
        (dataclasses.replace(BOARD, bits=32), "Python of 32 bits"),  # a 64-bit kernel below a 32-bit system
        (dataclasses.replace(BOARD, machine="riscv64"), "on riscv64, for which there are no runtimes"),
        (dataclasses.replace(BOARD, libc=""), "no GNU C library"),
        (dataclasses.replace(BOARD, libc="glibc 2.24"), "has glibc 2.24"),
        (dataclasses.replace(BOARD, python=(3, 9, 2)), "older than 3.11"),
    ],
)
def test_boards_that_take_the_wheels(look: Look, reason: str) -> None:
    assert reason in why_no_wheels(look)
    assert bool(reason) == bool(why_no_wheels(look))


@pytest.mark.parametrize("runtime", ["auto", "own", "bring"])
def test_a_board_that_nothing_runs_on(runtime: Runtime) -> None:
    board = dataclasses.replace(BOARD, machine="armv7l", bits=32, modules=dict.fromkeys(MODULES))
    with pytest.raises(UsageError, match=r"pi \(armv7l, Python 3.11.2\) has .*set up the 64-bit system"):
        choose_wheels(Host("pi"), board, ["tflite"], runtime, Context())


def test_the_boards_own_versions_are_told_beside_those_tested() -> None:
    said: list[str] = []
    own = dataclasses.replace(BOARD, modules={"numpy": "1.26.4", "ai_edge_litert": "2.3.0", "onnxruntime": None})
    assert choose_wheels(Host("pi"), own, ["tflite"], "auto", Context(say=said.append)) == []
    assert said == [
        "pi (aarch64, Python 3.11.2) runs them in its own ai_edge_litert 2.3.0, numpy 1.26.4 (tested: 2.4.6)"
    ]


def test_the_program_of_the_board_is_plain_python_37_without_packages() -> None:
    program = Path(connection.__file__).parent.parent / "guest" / "board.py"
    tree = ast.parse(program.read_text(), feature_version=(3, 7))
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {n.module if isinstance(n, ast.ImportFrom) else alias.name for n in imports for alias in n.names}
    assert {str(name).partition(".")[0] for name in names} <= sys.stdlib_module_names
