"""A real OpenSSH server on this computer, as the user who runs the tests, with keys, a port and a log of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_SERVER = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey "{folder}/host_key"
AuthorizedKeysFile "{folder}/authorized_keys"
PidFile "{folder}/pid"
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
SetEnv {environment}
"""
_CLIENT = """
Host board
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile "{folder}/key"
  IdentitiesOnly yes
Host *
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile none
"""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        folder: with `config` of the client (the alias `board`), its `key`, and `known_hosts`.
        temporary: what the server's sessions have as TMPDIR.
        port: that it listens on.
        pid: of the process that listens.
    """

    folder: Path
    temporary: Path
    port: int
    pid: int

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def address(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    def left(self) -> list[Path]:
        """Return what lies in the temporary folder of its sessions."""
        return list(self.temporary.iterdir())

    def drop(self) -> None:
        """Kill the processes of its sessions, as a lost connection ends them, and leave what these started alone."""
        listed = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True, check=True)
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()[1:]]
        servers = [(int(pid), int(parent)) for pid, parent, name in rows if name.startswith("sshd")]
        ours = {self.pid}
        for _ in servers:
            ours |= {pid for pid, parent in servers if parent in ours}
        for pid in ours - {self.pid}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Server]:
    """Give a running server; `environment` is that of its sessions."""
    if _SERVER is None or shutil.which("ssh") is None:
        say = pytest.fail if os.environ.get("ATTENDC_REQUIRE_ARM") else pytest.skip
        say("needs OpenSSH's server and client: apt-get install openssh-server openssh-client")
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    make_key(folder / "host_key")
    make_key(folder / "key")
    shutil.copy(folder / "key.pub", folder / "authorized_keys")
    port = _free_port()
    shown = " ".join(f'"{name}={value}"' for name, value in {"TMPDIR": str(temporary), **environment}.items())
    (folder / "sshd_config").write_text(_CONFIG.format(port=port, folder=folder, environment=shown))
    (folder / "config").write_text(_CLIENT.format(port=port, folder=folder, user=getpass.getuser()))
    know(folder / "known_hosts", port, folder / "host_key")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's server wants it, for its separated process
    command = [str(_SERVER), "-f", str(folder / "sshd_config")]
    forgiving = ["-o", "PerSourcePenalties=no"]  # else tests of wrong keys lock out those after them; since OpenSSH 9.8
    if subprocess.run([*command, *forgiving, "-t"], capture_output=True, check=False).returncode == 0:
        command += forgiving
    command += ["-D", "-E", str(folder / "log")]
    with subprocess.Popen(command, start_new_session=True) as process:
        server = Server(folder, temporary, port, process.pid)
        try:
            _wait_for(port, folder / "log")
            yield server
        finally:
            server.drop()
            process.terminate()


def make_key(path: Path) -> None:
    """Write a pair of keys, `path` and `path`.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def know(known_hosts: Path, port: int, host_key: Path) -> None:
    """Write down that the server on `port` has this key."""
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, log: Path, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"sshd does not listen: {log.read_text() if log.exists() else ''}")
