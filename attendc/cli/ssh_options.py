"""The options of a board over ssh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.options import options

if TYPE_CHECKING:
    from attendc import SshOptions

__all__ = ["RUNTIMES", "ssh_options", "ssh_options_of"]

# Names that attendc.arm.board.host gives a meaning.
RUNTIMES = ("auto", "own", "bring")

ssh_options = options(
    click.option(
        "--runtime",
        default="auto",
        show_default=True,
        type=click.Choice(RUNTIMES),
        help="Of a board: its own, or brought along for as long as this runs.",
    ),
    click.option(
        "--remote-python", "python", default="python3", show_default=True, help="The command for Python on a board."
    ),
    click.option("--ssh-key", "identity", type=click.Path(path_type=Path), help="Private key.  [default: ssh chooses]"),
    click.option("--ssh-config", "config", type=click.Path(path_type=Path), help="In place of ~/.ssh/config."),
    click.option("--accept-new-host-key", is_flag=True, help="Trust a board that ssh does not know, and note its key."),
    click.option(
        "--ssh-timeout",
        "timeout",
        default=10,
        show_default=True,
        type=click.IntRange(1),
        help="Seconds to wait for the connection.",
    ),
)


def ssh_options_of(given: dict[str, Any]) -> SshOptions:
    """Take the options of a board out of `given`.

    Raises:
        UsageError: for a key or a config that is not there.
    """
    from attendc import SshOptions

    return SshOptions(
        identity=given.pop("identity"),
        config=given.pop("config"),
        accept_new_host_key=given.pop("accept_new_host_key"),
        runtime=given.pop("runtime"),
        python=given.pop("python"),
        timeout=given.pop("timeout"),
    )
