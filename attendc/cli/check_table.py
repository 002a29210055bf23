"""What `attendc check` prints of a file: a summary, the layers, what falls out of XNNPACK, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attendc.cli.console import Console

__all__ = ["print_checked"]

_COSTLY = 12
"""Layers that are shown unless all are asked for."""

Entry = Mapping[str, Any]


def print_checked(console: Console, found: Entry, *, every: bool) -> None:
    """Print an entry of `files` of `attendc.check_files`; `every` shows all layers, in the order of the file."""
    console.result(_summary(found))
    _print_layers(console, found, every=every)
    if found["fallen"]:
        rows = [(*_which(alike), _sentence(*why)) for why, alike in _by_reason(found["fallen"]).items()]
        console.text_table("left to LiteRT's own kernels:", ("operator", "where", "why, and what to do"), rows)
    if found["unmeasured"]:
        names = ", ".join(f"{count} {kind}" for kind, count in found["unmeasured"].items())
        console.result(f"not in the cost table, guessed by their size: {names}")
    if found["advice"]:
        heads = [f"spares on {core}" for core in found["cores"]]
        advised = [
            (*(_spared(one, core) for core in found["cores"]), f"{_upper(one['found'])}. {one['todo']}.")
            for one in found["advice"]
        ]
        console.text_table("what to do, by the cost table:", (*heads, "what"), advised)
    else:
        console.result("nothing to advise: no change that is known here would spare half a percent")


def _summary(found: Entry) -> str:
    parts = found["partitions"]
    inside = found["operators"] - len(found["fallen"])
    cores = "; ".join(
        f"{core} {_millions(cost['instructions'])} M instructions expected, {cost['macs_per_instruction']:.1f} MACs "
        f"an instruction ({cost['share_of_limit']:.0%} of the core's limit)"
        for core, cost in found["cores"].items()
    )
    return (
        f"{found['file']}: {_millions(found['macs'])} M MACs, {found['bytes']:,} bytes, XNNPACK runs {inside} of "
        f"{found['operators']} operators in {parts} {'part' if parts == 1 else 'parts'}; {cores}"
    )


def _print_layers(console: Console, found: Entry, *, every: bool) -> None:
    cores = list(found["cores"])
    layers = list(found["layers"])
    shown = layers if every else sorted(layers, key=lambda e: -e["cores"][cores[0]]["instructions"])[:_COSTLY]
    head = ["layer", "operator", "output", "kernel", "MACs", "part"]
    for core in cores:
        head += [core, "share", "MACs/instr."]
    title = f"all {len(layers)} layers" if len(shown) == len(layers) else f"{len(shown)} of {len(layers)} layers"
    order = ", in order" if every else ", the costly ones first; --all shows all"
    console.table(f"{title}{order}:", head, [_layer(entry, cores) for entry in shown], whole=True)


def _layer(entry: Entry, cores: Sequence[str]) -> tuple[str, ...]:
    height, width, channels = entry["output"]
    columns = f" {entry['groups']} columns" if 1 < entry["groups"] < entry["inputs"] else ""
    texts = [
        entry["name"],
        f"{entry['operator']} {entry['dtype']}{columns}",
        f"{height}x{width}x{channels}",
        "x".join(map(str, entry["kernel"])) if entry["macs"] else "",
        f"{entry['macs']:,}" if entry["macs"] else "",
        "-" if entry["partition"] is None else str(entry["partition"]),
    ]
    for core in cores:
        cost = entry["cores"][core]
        pace = cost["macs_per_instruction"]
        texts += [
            f"{cost['instructions']:,}" + ("" if entry["measured"] else " ?"),
            f"{cost['share']:.1%}",
            "" if pace is None else f"{pace:.1f}",
        ]
    return tuple(texts)


def _by_reason(fallen: Sequence[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """Return reason and advice -> the operators that they hold for."""
    alike: dict[tuple[str, str], list[Entry]] = {}
    for one in fallen:
        alike.setdefault((one["reason"], one["advice"]), []).append(one)
    return alike


def _which(alike: Sequence[Entry]) -> tuple[str, str]:
    """Return how many of what, and where the first of them are."""
    kinds = sorted({one["operator"] for one in alike})
    first = alike[0]["name"] or f"#{alike[0]['index']}"
    more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
    return f"{len(alike)} {kinds[0] if len(kinds) == 1 else 'operators'}", first + more


def _sentence(reason: str, advice: str) -> str:
    return f"{_upper(reason)}. {advice}." if advice else f"{_upper(reason)}."


def _spared(one: Entry, core: str) -> str:
    return f"{100 * one['share'][core]:.1f} %, {_millions(one['won'][core])} M"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.1f}" if abs(count) >= 1e5 else f"{count / 1e6:.3f}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
