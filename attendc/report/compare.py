"""Two or more runs beside each other: what became larger or smaller, better or worse than in the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attendc.errors import UsageError
from attendc.gates import points_lost
from attendc.report.facts import accuracies, verdict
from attendc.report.words import percent
from attendc.targets import FLOAT, WITNESS

__all__ = ["SCHEMA", "Comparison", "Entry", "Row", "compare_runs", "comparison_json"]

SCHEMA = 1
_STATES = {"failed": "failed its own gates", "unproven": "is not proven: it verified nothing"}


@dataclass(frozen=True)
class Entry:
    """One artefact in one run; None is what is not there or was not measured.

    Attributes:
        there: whether the run has it.
        bytes: of the file; None for what is no file (the float network, the quantized graph).
        accuracy: top-1 in 0..1.
        more_bytes: than in the first run.
        more_points: of accuracy than in the first run; negative is worse.
    """

    there: bool
    bytes: int | None = None
    accuracy: float | None = None
    more_bytes: int | None = None
    more_points: float | None = None


@dataclass(frozen=True)
class Row:
    """One artefact, as the verification names it, in every run."""

    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    runs: their names; the first is what the others are held against.
    rows: one for each artefact of any run. The witness is none: it sees only a part of the images.
    max_drop: points of accuracy that another run may be below the first.
    worst_drop: points that any run is below the first, over the artefacts that both measured; negative where every
        one is better, None where nothing was measured in both.
    worse: a sentence for each way in which a run is worse; empty: none is.
    notes: what else to know, such as that the images were not the same.
    """

    runs: tuple[str, ...]
    rows: tuple[Row, ...]
    max_drop: float
    worst_drop: float | None
    worse: tuple[str, ...]
    notes: tuple[str, ...]


def compare_runs(runs: Sequence[tuple[str, Mapping[str, Any]]], *, max_drop: float = 1.0) -> Comparison:
    """Hold runs against the first of them.

    A run is worse if an artefact is missing that the first has, if one lost more than `max_drop` points of accuracy
    (the float network included), or if it did not measure what the first did: then nobody knows.

    Args:
        runs: (name, manifest) of each.
        max_drop: in points.

    Raises:
        UsageError: for fewer than two runs.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run is nothing to compare", hint="Give two runs or more")
    tables = [_measured(manifest) for _, manifest in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = tuple(_row(name, tables) for name in names)
    drops = [0.0 - e.more_points for row in rows for e in row.entries[1:] if e.more_points is not None]
    return Comparison(
        runs=tuple(name for name, _ in runs),
        rows=rows,
        max_drop=max_drop,
        worst_drop=max(drops, default=None),
        worse=tuple(_worse(runs, rows, max_drop)),
        notes=tuple(_notes(runs)),
    )


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON: its fields, `schema`, and `passed`, false if a run is worse."""
    return {"schema": SCHEMA, "passed": not comparison.worse, **asdict(comparison)}


def _measured(manifest: Mapping[str, Any]) -> dict[str, Entry]:
    """Return what a run has, by the name that the verification gives it; a file that is not run by its own name."""
    outputs, reached = manifest.get("outputs") or {}, accuracies(manifest)
    files = {str(entry.get("name") or file): entry.get("bytes") for file, entry in outputs.items()}
    names = dict.fromkeys([*(n for n in (FLOAT, *reached) if n in reached), *files])
    return {n: Entry(True, files.get(n), reached.get(n)) for n in names if n != WITNESS}


def _row(name: str, tables: Sequence[Mapping[str, Entry]]) -> Row:
    found = [table.get(name, Entry(False)) for table in tables]
    return Row(name, (found[0], *(_against(found[0], entry) for entry in found[1:])))


def _against(first: Entry, other: Entry) -> Entry:
    bytes_known = first.bytes is not None and other.bytes is not None
    measured = first.accuracy is not None and other.accuracy is not None
    return Entry(
        other.there,
        other.bytes,
        other.accuracy,
        (other.bytes or 0) - (first.bytes or 0) if bytes_known else None,
        0.0 - points_lost(first.accuracy or 0.0, other.accuracy or 0.0) if measured else None,
    )


def _worse(runs: Sequence[tuple[str, Mapping[str, Any]]], rows: Sequence[Row], max_drop: float) -> list[str]:
    found = []
    base = runs[0][0]
    for k, (run, _) in enumerate(runs[1:], 1):
        for row in rows:
            first, other = row.entries[0], row.entries[k]
            if first.bytes is not None and not other.there:
                found.append(f"{run} has no {row.name}, {base} has")
            elif first.accuracy is not None and other.accuracy is None:
                found.append(
                    f"{run} did not measure the accuracy of {row.name}, {base} reached {percent(first.accuracy)}"
                )
            elif other.more_points is not None and -other.more_points > max_drop:
                found.append(
                    f"{row.name} of {run} reaches {percent(other.accuracy)}, that of {base} {percent(first.accuracy)}: "
                    f"{0.0 - other.more_points:.2f} points lost, {max_drop:g} allowed"
                )
    return found


def _notes(runs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    notes = []
    for key, words in (("data", "images of the same data"), ("images", "the same number of images")):
        seen = [(run, _seen(manifest)[key]) for run, manifest in runs if manifest.get("verification")]
        if len({value for _, value in seen}) > 1:
            told = ", ".join(f"{run}: {'not known' if value is None else value}" for run, value in seen)
            notes.append(f"Not measured on {words} ({told}); the accuracies cannot be compared strictly")
    for run, manifest in runs:
        state = verdict(manifest).state
        if state in _STATES:
            notes.append(f"{run} {_STATES[state]}")
    return notes


def _seen(manifest: Mapping[str, Any]) -> dict[str, Any]:
    inputs, verification = manifest.get("inputs") or {}, manifest.get("verification") or {}
    return {"data": inputs.get("data"), "images": verification.get("images")}
