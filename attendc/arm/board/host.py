"""A computer that is reached over ssh: how it is named, and the command that reaches it by OpenSSH's own client.

Config, keys, known hosts, agent and jump hosts are the user's own. Nothing asks, and host keys are always checked.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attendc.errors import UsageError

__all__ = ["RUNTIMES", "Host", "Runtime", "SshOptions", "parse_host", "ssh_command", "typed_by_hand"]

Runtime = Literal["auto", "own", "bring"]
RUNTIMES: tuple[Runtime, ...] = ("auto", "own", "bring")

_FORM = re.compile(
    r"""(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.+@-]*\$?)@)?
    (?:(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)|\[(?P<address>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\])
    (?::(?P<port>[0-9]{1,5}))?""",
    re.VERBOSE | re.ASCII,
)
"""Neither begins like an option of ssh, nor holds what a shell gives a meaning: configs put %h and %r into commands."""
_LAST_PORT = 65535
_ALIVE_SECONDS, _ALIVE_TIMES = 5, 3
_BOOT = (
    "import sys; sys.path[:] = filter(None, sys.path); exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
)
"""Takes a program from its input, so that the shell over there sees this line only: every shell reads it alike. The
folder that a login begins in is none to import from."""


@dataclass(frozen=True)
class SshOptions:
    """How to reach a board, and with what to run files there.

    Attributes:
        identity: the private key; None: as ssh chooses, from its config and its agent.
        config: in place of ~/.ssh/config.
        accept_new_host_key: trust a board that is not in known_hosts, and note it there. One whose key has changed is
            refused all the same.
        runtime: `own`: the board's; `bring`: those that attendc's versions are pinned to, carried over and removed
            again; `auto`: the board's where it has them.
        python: the command that starts Python there; `~/` is the home folder there.
        timeout: seconds to wait for the connection.
    """

    identity: Path | None = None
    config: Path | None = None
    accept_new_host_key: bool = False
    runtime: Runtime = "auto"
    python: str = "python3"
    timeout: int = 10

    def __post_init__(self) -> None:
        """Refuse what cannot be, before a connection is tried.

        Raises:
            UsageError: for a key or a config that is not there, or a command for Python that is none.
        """
        for what, path in (("key", self.identity), ("config of ssh", self.config)):
            if path is not None and not path.is_file():
                raise UsageError(f"there is no {what} {path}", hint="Give the path of the file")
        if self.runtime not in RUNTIMES:
            raise UsageError(f"no runtime is called {self.runtime!r}", hint=f"Choose from {', '.join(RUNTIMES)}")
        if not self.python.strip() or self.python.startswith("-") or not self.python.isprintable():
            raise UsageError(f"{self.python!r} starts no Python", hint="For example --remote-python python3.11")
        if self.timeout < 1:
            raise UsageError(f"a connection cannot be waited for {self.timeout} seconds", hint="Take 1 or more")


@dataclass(frozen=True)
class Host:
    """A name or alias that ssh knows, or an address.

    Attributes:
        name: of the host.
        user: empty: as ssh's config says.
        port: None: as ssh's config says.
    """

    name: str
    user: str = ""
    port: int | None = None

    def __str__(self) -> str:
        """Return it as it is typed."""
        user = f"{self.user}@" if self.user else ""
        return f"{user}{self.name}" if self.port is None else f"{user}{self._bracketed}:{self.port}"

    @property
    def known_as(self) -> str:
        """Return its name in known_hosts."""
        return self.name if self.port in (None, 22) else f"[{self.name}]:{self.port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.name}]" if ":" in self.name else self.name


def parse_host(text: str) -> Host:
    """Return the host of `name`, `user@name`, `user@name:port`; an IPv6 address stands in brackets.

    Raises:
        UsageError: if it is none of these, among them whatever ssh could take for an option.
    """
    found = _FORM.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 0 < port <= _LAST_PORT):
        raise UsageError(
            f"{text!r} is no host", hint="Write ssh:user@host, ssh:user@host:port, ssh:[address] or ssh:alias"
        )
    return Host(found["name"] or found["address"], found["user"] or "", port)


def ssh_command(host: Host, options: SshOptions) -> list[str]:
    """Return the command that starts Python on the board, which first takes its program: a line with its bytes, and it.

    Raises:
        UsageError: if this computer has no ssh.
    """
    program = shutil.which("ssh")
    if program is None:
        raise UsageError("this computer has no ssh", hint="Install OpenSSH's client: sudo apt install openssh-client")
    checked = "accept-new" if options.accept_new_host_key else "yes"
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": checked,
        "ConnectTimeout": options.timeout,
        "ServerAliveInterval": _ALIVE_SECONDS,
        "ServerAliveCountMax": _ALIVE_TIMES,
        "ControlMaster": "no",  # one that is open already may be used, none stays behind
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
        "LogLevel": "INFO",  # else errors could be missing
        **({"IdentitiesOnly": "yes"} if options.identity else {}),  # not those of the agent before it
    }
    given = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    return [program, "-T", *_asked(host, options), *given, "--", host.name, f"{_remote(options.python)} -c '{_BOOT}'"]


def typed_by_hand(host: Host, options: SshOptions) -> str:
    """Return the command by which a person logs in the same way."""
    return shlex.join(["ssh", *_asked(host, options), host.name])


def _asked(host: Host, options: SshOptions) -> list[str]:
    """Return what the user chose. In the name of a key ssh gives % and ~ a meaning."""
    config = ["-F", str(options.config.absolute())] if options.config else []
    key = str(options.identity.absolute()).replace("%", "%%") if options.identity else ""
    identity = ["-i", key] if key else []
    port = [] if host.port is None else ["-p", str(host.port)]
    return [*config, *identity, *port, *(["-l", host.user] if host.user else [])]


def _remote(python: str) -> str:
    """Return the command for Python as the shell over there takes it for one word; it knows its home folder."""
    return f"~/{shlex.quote(python[2:])}" if python.startswith("~/") else shlex.quote(python)
