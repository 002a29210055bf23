"""The tables of `attendc bench`: counts in one, times in another, for they are not to be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attendc.cli.console import Console

__all__ = ["print_bench"]

Entry = Mapping[str, Any]


def print_bench(console: Console, entries: Sequence[Entry]) -> None:
    """Print the entries of `attendc.bench_files`."""
    counted = [entry for entry in entries if "instructions" in entry]
    timed = [entry for entry in entries if "milliseconds" in entry]
    names = _names(entries)
    if counted:
        _print_counts(console, counted, names)
    for entry in counted:
        if "layers" in entry:
            _print_layers(console, entry, names[entry["file"]])
    for place in dict.fromkeys(entry["core"] for entry in timed):
        _print_times(console, [entry for entry in timed if entry["core"] == place], names)


def _names(entries: Sequence[Entry]) -> dict[str, str]:
    """Return file -> the end of its path by which it differs from the others."""
    files = list(dict.fromkeys(entry["file"] for entry in entries))
    for parts in range(1, max(len(Path(file).parts) for file in files) + 1):
        ends = [str(Path(*Path(file).parts[-parts:])) for file in files]
        if len(set(ends)) == len(files):
            return dict(zip(files, ends, strict=True))
    return {file: file for file in files}


def _print_counts(console: Console, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
    head = ("file", "core", "instructions", "partitions", "MACs", "MACs each", "of limit")
    rows = [
        (
            names[entry["file"]],
            entry["core"],
            f"{entry['instructions']:,}",
            _or_dash(entry["partitions"], ","),
            _or_dash(entry["macs"], ","),
            _or_dash(entry["macs_per_instruction"], ".2f"),
            _or_dash(entry["share_of_limit"], ".0%"),
        )
        for entry in entries
    ]
    console.table("instructions of one inference, one thread: a count, not a time", head, rows, whole=True)
    console.result(
        "limit: what multiplies and accumulates alone, as many at once as the core can: "
        "int8 16 with dot product, 8 without; float32 4"
    )


def _print_layers(console: Console, entry: Entry, name: str) -> None:
    head = ("layer", "operator", "output", "instructions", "share", "MACs", "MACs each")
    rows = [
        (
            layer["name"],
            layer["kind"],
            "x".join(map(str, layer["shape"])),
            f"{layer['instructions']:,}",
            f"{layer['instructions'] / entry['instructions']:.1%}",
            f"{layer['macs']:,}" if layer["macs"] else "",
            f"{layer['macs_per_instruction']:.2f}" if layer["macs_per_instruction"] else "",
        )
        for layer in entry["layers"]
    ]
    console.table(f"{name} on {entry['core']}, layer by layer", head, rows, whole=True)
    for note in entry["notes"]:
        console.result(note)


def _print_times(console: Console, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
    first = entries[0]
    head = ("file", "median ms", "95 % interval", "ratio", "MHz", "degrees C")
    rows = [
        (
            names[entry["file"]],
            f"{entry['milliseconds']:.3f}",
            f"{entry['low']:.3f} to {entry['high']:.3f}",
            f"{entry['milliseconds'] / first['milliseconds']:.3f}",
            _or_dash(entry["clock_mhz"], ".0f"),
            _or_dash(entry["temperature_c"], ".1f"),
        )
        for entry in entries
    ]
    threads = "one thread" if first["threads"] == 1 else f"{first['threads']} threads"
    runs = f"{first['runs']} runs after {first['warmup']} of warm-up"
    console.table(
        f"milliseconds of one inference on {first['core']} ({first['machine']}), {threads}, {runs}",
        head,
        rows,
        whole=True,
    )
    console.result(f"ratio: to {names[first['file']]}")


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
