"""What it means when ssh cannot log in, in words that tell what to do next."""

from __future__ import annotations

import re

from attendc.arm.board.host import Host, SshOptions, typed_by_hand
from attendc.errors import UsageError

__all__ = ["login_failure"]

_SSH_FAILED = 255
_NO_SUCH_COMMAND, _CANNOT_RUN = 127, 126
_TAIL = 300


def login_failure(host: Host, options: SshOptions, code: int, said: str) -> UsageError:
    """Return the error for an ssh that ended with this code, before Python answered, and said this."""
    if code in (_NO_SUCH_COMMAND, _CANNOT_RUN):
        return UsageError(
            f"{host} cannot run {options.python}: {_last_line(said)}",
            hint="Install it there (sudo apt install python3), or name another one with --remote-python",
        )
    if code != _SSH_FAILED:
        return UsageError(
            f"{options.python} on {host} ended at once with code {code}: {_last_line(said) or 'without a word'}",
            hint=f"Try {typed_by_hand(host, options)} {options.python} --version",
        )
    for sign, explain in _SIGNS:
        if re.search(sign, said):
            what, hint = explain(host, options, said)
            return UsageError(what, hint=hint)
    return UsageError(f"ssh cannot log in to {host}: {_last_line(said)}", hint=f"Try {typed_by_hand(host, options)}")


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][-_TAIL:].rstrip(".") if lines else ""


Words = tuple[str, str]
"""What happened, and what to do."""


def _unresolved(host: Host, _: SshOptions, __: str) -> Words:
    return f"there is no host {host.name}", "Check its name, or write its address: ssh:user@192.168.1.20"


def _refused(host: Host, _: SshOptions, said: str) -> Words:
    port = re.search(r"port (\d+)", said)
    where = f" on port {port[1]}" if port else ""
    return f"{host} takes no connections{where}", "Start its ssh server (sudo systemctl enable --now ssh), or add :PORT"


def _timed_out(host: Host, options: SshOptions, _: str) -> Words:
    return f"{host} did not answer within {options.timeout} seconds", "Is it switched on and in this network?"


def _unreachable(host: Host, _: SshOptions, said: str) -> Words:
    return f"{host} cannot be reached: {_last_line(said)}", "Is it switched on and in this network?"


def _changed_key(host: Host, options: SshOptions, said: str) -> Words:
    command = re.search(r"ssh-keygen -f .*", said)  # Debian's ssh tells it
    line = re.search(r"Offending \S+ key in (.+):(\d+)", said)
    forget = f"type once {command[0].strip()}" if command else f"type once ssh-keygen -R '{host.known_as}'"
    if line and not command:
        forget = f"remove line {line[2]} of {line[1]}"
    return (
        f"{host} has another host key than known_hosts says: it was set up anew, or another computer answers for it",
        f"If you know that it was set up anew, {forget} ; then {typed_by_hand(host, options)}",
    )


def _unknown_key(host: Host, options: SshOptions, _: str) -> Words:
    return (
        f"the host key of {host} is not in known_hosts",
        f"Type once {typed_by_hand(host, options)} and compare the fingerprint, or add --accept-new-host-key",
    )


def _bad_key_file(host: Host, options: SshOptions, _: str) -> Words:
    key = options.identity or "the key"
    return f"ssh does not use {key} for {host}: others can read it", f"Type chmod 600 {key}"


def _denied(host: Host, options: SshOptions, said: str) -> Words:
    keys = "ssh-copy-id puts a key there, ssh-add unlocks one that has a password, --ssh-key FILE chooses one"
    return f"{host} refuses the key: {_last_line(said)}", f"Try {typed_by_hand(host, options)} ; {keys}"


# The texts are OpenSSH's: https://github.com/openssh/openssh-portable, sshconnect.c, sshconnect2.c, misc.c, packet.c.
# The first that fits counts: ssh says more than one of them in a row.
_SIGNS = (
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED", _changed_key),
    (r"Host key verification failed|host key is known for", _unknown_key),
    (r"UNPROTECTED PRIVATE KEY FILE|bad permissions", _bad_key_file),
    (r"Permission denied|Too many authentication failures", _denied),
    (r"Could not resolve hostname", _unresolved),
    (r"Connection refused", _refused),
    (r"timed out|Timeout", _timed_out),
    (r"No route to host|Network is unreachable|Host is down", _unreachable),
)
