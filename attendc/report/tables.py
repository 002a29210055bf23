"""The tables of the page: heads, and rows of cells that know what they are sorted by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attendc.report.facts import Artefact
from attendc.report.words import MISSING, count, decibels, percent, points, seconds

__all__ = [
    "Cell",
    "Table",
    "artefact_table",
    "bench_table",
    "curve_table",
    "gate_table",
    "hash_table",
    "layer_table",
    "ops_tables",
    "pair_table",
    "stage_table",
    "step_table",
]

Cell = tuple[str, float | None]
"""Words, and the number to sort by where there is one."""

Heads = tuple[tuple[str, bool], ...]
"""Words of each column, and whether it holds numbers."""


@dataclass(frozen=True)
class Table:
    """Attributes:
    heads: of the columns.
    rows: as many cells as there are heads; the first names the row.
    caption: what the table is, where the page does not say it.
    """

    heads: Heads
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


_MEASURED = ("bytes", "accuracy", "against float", "same as float", "same as own graph", "float ops")


def artefact_table(rows: Sequence[Artefact]) -> Table:
    """Return a row for each file."""
    heads = (
        *_words("file", "type"),
        *_numbers(*_MEASURED),
    )
    return _table(
        heads,
        (
            (
                _word(a.file),
                _word(a.dtype),
                (count(a.bytes), a.bytes),
                (percent(a.accuracy), a.accuracy),
                _difference(a.drop),
                (percent(a.agreement_float), a.agreement_float),
                (percent(a.agreement_source), a.agreement_source),
                _float_ops(a),
            )
            for a in rows
        ),
    )


def _difference(drop: float | None) -> Cell:
    return (MISSING, None) if drop is None else (points(-drop), -drop)


def _float_ops(row: Artefact) -> Cell:
    """Return how many operators compute in float; of a float32 file they are all that matter."""
    if row.float_ops is None:
        return MISSING, None
    all_float = row.dtype == "float32" and row.float_ops == sum(row.ops.values())
    return (f"all {row.float_ops}" if all_float else count(row.float_ops)), row.float_ops


def gate_table(gates: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each gate."""
    told = any(gate.get("message") for gate in gates)
    heads = (*_words("gate", "kind", "stage"), *_numbers("value", "limit"), *_words("result"))
    rows = (
        (
            _word(gate.get("name")),
            _word(gate.get("kind")),
            _word(gate.get("stage")),
            _plain(gate.get("value")),
            _plain(gate.get("limit")),
            _word("✓ holds" if gate.get("passed") else "✗ broken"),
            *([_word(gate.get("message") or "")] if told else []),
        )
        for gate in gates
    )
    return _table((*heads, *_words("message")) if told else heads, rows)


def bench_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each file and core."""
    heads = (
        *_words("file", "core"),
        *_numbers("instructions", "part of the most", "MACs an instruction", "XNNPACK partitions"),
    )
    most = max((row.get("instructions") or 0 for row in rows), default=0)
    cells = (
        (
            _word(row.get("file")),
            _word(row.get("core")),
            *_with_part(row.get("instructions"), most),
            _ratio(row.get("macs"), row.get("instructions")),
            (count(row.get("partitions")), row.get("partitions")),
        )
        for row in rows
    )
    return _table(heads, cells)


def _ratio(a: float | None, b: float | None) -> Cell:
    return (f"{a / b:.2f}", a / b) if a and b else (MISSING, None)


def pair_table(pairs: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each pair that was compared."""
    heads = (*_words("pair"), *_numbers("images", "agreement", "most steps", "mean steps", "SQNR"), *_words("gated"))
    rows = (
        (
            _word(f"{p['a']} and {p['b']}"),
            (count(p["images"]), p["images"]),
            (percent(p["top1_agreement"]), p["top1_agreement"]),
            (f"{p['max_lsb']:.1f}", p["max_lsb"]),
            (f"{p['mean_lsb']:.3f}", p["mean_lsb"]),
            (decibels(p["sqnr_db"]), p["sqnr_db"]),
            _word("yes" if p.get("gated") else "no"),
        )
        for p in pairs
    )
    return _table(heads, rows)


def layer_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each layer, in the order of the network."""
    heads = (*_words("layer"), *_numbers("place"), *_words("operator", "shape"), *_numbers("SQNR"))
    rows = (
        (
            _word(row.get("layer")),
            (str(k), k),
            _word(row.get("op")),
            _word(" x ".join(map(str, row.get("shape") or ()))),
            (decibels(row.get("sqnr_db")), row.get("sqnr_db")),
        )
        for k, row in enumerate(layers, 1)
    )
    return _table(heads, rows)


def ops_tables(rows: Sequence[Artefact]) -> list[Table]:
    """Return a table for each format: its operators, and how many each file has of them."""
    tables = []
    for form in dict.fromkeys(a.format for a in rows if a.ops):
        files = [a for a in rows if a.format == form and a.ops]
        names = sorted({op for a in files for op in a.ops})
        heads = (*_words("operator"), *_numbers(*(a.file for a in files)))
        cells = ((_word(op), *((count(a.ops.get(op, 0)), a.ops.get(op, 0)) for a in files)) for op in names)
        tables.append(_table(heads, cells, f"Operators, {form}"))
    return tables


def step_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each step of pruning."""
    first = steps[0]
    counts = {"instructions": "instructions, estimated"} if "instructions" in first else {}
    counts |= {"macs": "MACs", "params": "parameters"}
    heads = (*_words("step"), *_numbers(*(head for name in counts.values() for head in (name, "part")), "accuracy"))
    rows = (
        (
            _word(row.get("step")),
            *(cell for key in counts for cell in _with_part(row.get(key), first.get(key))),
            (percent(row.get("accuracy")), row.get("accuracy")),
        )
        for row in steps
    )
    return _table(heads, rows)


def _with_part(value: float | None, whole: float | None) -> tuple[Cell, Cell]:
    part = value / whole if value is not None and whole else None
    return (count(value), value), (MISSING if part is None else f"{part:.3f}", part)


def curve_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each epoch, whatever its columns are."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return _table(_numbers(*columns), (tuple(_plain(row.get(name)) for name in columns) for row in rows))


def stage_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each stage."""
    heads = (*_words("stage", "step"), *_numbers("time"), *_words("result", "key"))
    rows = (
        (
            _word(one.get("id")),
            _word(one.get("step")),
            (seconds(one.get("seconds")), one.get("seconds")),
            _word("found in the cache" if one.get("cached") else "computed"),
            _word(str(one.get("key") or MISSING)[:16]),
        )
        for one in stages
    )
    return _table(heads, rows)


def hash_table(rows: Sequence[Artefact]) -> Table:
    """Return the hash of each file."""
    return _table(_words("file", "SHA-256"), ((_word(a.file), _word(a.sha256)) for a in rows if a.sha256))


def _table(heads: Heads, rows: Iterable[tuple[Cell, ...]], caption: str = "") -> Table:
    return Table(heads, tuple(rows), caption)


def _words(*heads: str) -> Heads:
    return tuple((head, False) for head in heads)


def _numbers(*heads: str) -> Heads:
    return tuple((head, True) for head in heads)


def _word(value: object) -> Cell:
    return (MISSING if value is None else str(value)), None


def _plain(value: Any) -> Cell:
    if isinstance(value, bool):
        return ("yes" if value else "no"), None
    if not isinstance(value, int | float):
        return _word(value)
    return f"{value:.6g}", value
