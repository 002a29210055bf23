"""`attendc doctor`."""

from __future__ import annotations

import click

from attendc.cli.options import json_option, session_of_recipe

__all__ = ["doctor_command"]


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> None:
    """Show what is there for attendc on this machine, and what to type for what is not.

    Python packages against the tested versions, torch's engines, the compiler, the emulator and the emulated ARM
    machine with its cores, ssh. It changes nothing; what is missing is told, and is no error.
    """
    with session_of_recipe({"as_json": as_json}) as (console, _):
        from attendc import examine

        found = examine()
        if console.as_json:
            console.json([one.as_json() for one in found])
            return
        wrong = [one for one in found if one.state != "ok"]
        title = f"{len(found)} things looked for, {len(found) - len(wrong)} ok"
        rows = [(one.group, one.name, one.state, one.found) for one in found]
        console.text_table(title, ("", "what", "state", "found"), rows)
        for one in wrong:
            console.result(f"{one.name}: {one.state}. {one.hint}")
