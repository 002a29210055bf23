"""`attendc arm`: the emulated machine and its cores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attendc.cli.options import console_options, json_option, session_of_recipe

if TYPE_CHECKING:
    from attendc.cli.console import Console

__all__ = ["arm_group"]

_PATH = click.Path(path_type=Path)


@click.group("arm")
def arm_group() -> None:
    """Set up the emulated ARM machine, and list its cores.

    It lies in $ATTENDC_ARM, else in arm/ of the user's cache: $ATTENDC_CACHE, else attendc/ in $XDG_CACHE_HOME, else
    ~/.cache/attendc. The folder may be removed by hand while nothing runs.
    """


@arm_group.command("setup")
@click.option(
    "--offline",
    type=_PATH,
    metavar="DIR",
    help="Take all packages from DIR, such as the folder downloads of a machine that was set up online.",
)
@click.option("--locked", is_flag=True, help="Refuse packages that Debian's archive has in a newer version only.")
@click.option("--own-emulator", is_flag=True, help="Bring Debian 12's qemu too, 21 MB more; for x86-64.")
@click.option("--force", is_flag=True, help="Make everything anew; what was downloaded is kept.")
@console_options
def setup_command(offline: Path | None, locked: bool, own_emulator: bool, force: bool, **given: Any) -> None:
    """Make the emulated machine: arm64 Python and runtimes, the cores, and what counts instructions.

    It takes 65 MB of downloads and 280 MB of disk, no root, and changes nothing on the system. Each package is
    checked by its hash. Killed and started again it goes on; what is whole is not done again.

    Needs qemu-aarch64 with plugins (or --own-emulator) and cc, and to download, apt and Debian's keyring: `attendc
    doctor` tells what is missing.
    """
    with session_of_recipe(given) as (console, context):
        from attendc import SetupRequest, setup_arm

        done = setup_arm(SetupRequest(offline, locked, force, own_emulator), context)
        if console.as_json:
            console.json({**done, "warnings": context.warnings})
        else:
            _print(console, done)


def _print(console: Console, done: dict[str, Any]) -> None:
    folder = Path(done["folder"])
    places = {"deb": "root", "wheel": "root/site", "emulator": "emulator"}
    rows = [("emulator", done["qemu_version"], done["qemu"])]
    for package in (*done["packages"], *done["emulator"]):
        mark = "" if package["pinned"] else " (not the tested version)"
        rows.append((package["name"], package["version"] + mark, str(folder / places[package["kind"]])))
    rows += [("plugin", done["plugin_source"][:12], str(folder / "plugin" / "count.so"))]
    for core in done["cores"]:
        other = "" if core["emulated_as"] == core["name"] else f"as {core['emulated_as']}"
        rows.append((core["name"], other, str(folder / "cores" / core["name"])))
    made = f"made: {', '.join(done['made'])}" if done["made"] else "whole already, nothing to do"
    console.text_table(f"{folder}: {made}", ("what", "version", "where"), rows)
    console.result("Next: attendc bench FILE --on cortex-a76,cortex-a72")


@arm_group.command("cores")
@json_option
def cores_command(as_json: bool) -> None:
    """List the cores that can be emulated: what they compute, their caches, and the boards they sit in."""
    with session_of_recipe({"as_json": as_json}) as (console, _):
        from attendc import CORES

        if console.as_json:
            console.json([core.as_json() for core in CORES.values()])
            return
        rows = [
            (
                core.name,
                "yes" if core.has_dot_product else "no",
                "yes" if core.has_fp16 else "no",
                " / ".join(str(size) if size else "-" for size in (core.l1d_kib, core.l2_kib, core.l3_kib)),
                str(core.max_mhz),
                core.emulated_as or core.name,
                ", ".join(core.boards),
            )
            for core in CORES.values()
        ]
        head = ("core", "SDOT", "fp16", "L1d/L2/L3 KiB", "MHz", "emulated as", "boards")
        console.text_table("cores; caches and clock are those of the first board", head, rows)
