"""The edge: help, version, and how exceptions become one line and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from attendc import __version__
from attendc.cli.main import cli, main

ROOT = Path(__file__).parent.parent.parent

ODD_NET = """
from torch import nn

class Net(nn.Linear):
    '''A network that breaks where nobody expects it.'''

    def __init__(self):
        super().__init__(2, 2)

    def state_dict(self, *args, **kwargs):
        raise RuntimeError("boom")
"""


@pytest.fixture
def odd(tmp_path: Path, temporary: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a command that ends in an exception which attendc does not know."""
    (tmp_path / "odd_net.py").write_text(ODD_NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return ["inspect", str(small_checkpoint), "--model=odd_net:Net"]


def attendc(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "attendc", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_help_names_every_command_and_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out, err = capfd.readouterr()
    for text in (*cli.commands, "5 cannot be converted", "130 interrupted"):
        assert text in out
    assert err == ""


def words(group: click.Group) -> list[list[str]]:
    """Return what to type for each command, those of groups in groups too."""
    return [
        [name, *rest]
        for name, command in sorted(group.commands.items())
        for rest in (words(command) if isinstance(command, click.Group) else [[]])
    ]


@pytest.mark.parametrize("command", words(cli), ids=" ".join)
def test_every_command_has_help(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    out = capfd.readouterr().out
    assert f" {' '.join(command)} [OPTIONS]" in out.splitlines()[0]
    assert ("--json" in out) == (command != ["recipe", "schema"])  # which prints nothing but JSON


@pytest.mark.parametrize(
    ("group", "commands"),
    [
        ("recipe", ["validate", "show", "list", "schema", "init"]),
        ("cache", ["list", "prune"]),
        ("arm", ["setup", "cores"]),
    ],
)
def test_a_group_lists_its_commands(group: str, commands: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([group, "--help"]) == 0
    listed = capfd.readouterr().out.partition("Commands:")[2]
    assert sorted(line.split()[0] for line in listed.splitlines() if line[:3].strip()) == sorted(commands)


def test_version_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"attendc, version {__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["inspect"], ["inspect", "a", "b"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Error: " in err


@pytest.mark.slow
def test_as_a_program_it_answers_with_the_same_codes(tmp_path: Path) -> None:
    helped, failed = attendc("--help"), attendc("inspect", str(tmp_path / "none.pt"))
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith("Usage: ")
    assert (failed.returncode, failed.stdout) == (3, "")
    assert failed.stderr.splitlines()[-1].startswith(f"error: no file {tmp_path / 'none.pt'}. Give a checkpoint")


def test_an_exception_that_nobody_expected_is_one_line_and_exit_code_1(
    odd: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(odd) == 1
    err = capfd.readouterr().err
    assert err.endswith("internal error: RuntimeError: boom. Run again with -v and report it\n")
    assert "Traceback" not in err


def test_its_log_is_kept_to_look_into(odd: list[str], temporary: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(odd) == 1
    (log,) = temporary.glob("attendc-*.log")
    assert f"the log of the libraries is in {log}" in capfd.readouterr().err


def test_verbose_shows_where_it_came_from(odd: list[str]) -> None:
    with pytest.raises(RuntimeError, match="boom"):
        main([*odd, "-v"])
