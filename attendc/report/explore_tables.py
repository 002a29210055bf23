"""The tables of the page of an exploration, from its result as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attendc.report.explore_words import choice_words, parts_of
from attendc.report.tables import Cell, Table
from attendc.report.words import MISSING, change, count, percent, points, seconds

__all__ = [
    "ablation_table",
    "design_table",
    "front_table",
    "parts_table",
    "proxy_table",
    "refused_table",
    "trial_table",
]

Facts = Mapping[str, Any]
_COSTS = {"params": "parameters", "macs": "MACs", "bytes": "bytes", "memory": "memory"}
"""Cost of a design -> its head."""


def front_table(result: Facts) -> Table:
    """Return a row for each design of the front, the winner and the baseline, the cheapest first."""
    base, core = result["baseline"] or {}, result["core"]
    shown = {t["number"]: t for t in result["trials"] if t["number"] in {*result["front"], result["winner"]}}
    designs = [(_name(result, number), t) for number, t in shown.items() if not t["baseline"]]
    designs += [(f"{base['name']}, baseline", base)] if base else []
    others = [name for name in _cores(result) if name != core]
    more = ("against baseline",) if base else ()
    heads = _numbers("accuracy", *more, "instructions", *more)
    rows = (
        (
            _word(name),
            _accuracy(one),
            *([_points(one, base)] if base else []),
            *_instructions(one, base, core)[: 2 if base else 1],
            _u(one),
            *_costs(one),
            *((count(one["instructions"].get(other)), one["instructions"].get(other)) for other in others),
        )
        for name, one in sorted(designs, key=lambda pair: pair[1]["instructions"][core])
    )
    tail = _numbers("U, dB", *_COSTS.values(), *(f"instructions, {other}" for other in others))
    return _table((*_words("design"), *heads, *tail), rows)


def trial_table(result: Facts) -> Table:
    """Return a row for each trial."""
    core = result["core"]
    heads = ("accuracy", "epochs", "instructions", "U, dB", *_COSTS.values(), "time")
    rows = (
        (
            (_name(result, t["number"]), t["number"]),
            _word(t["state"]),
            _accuracy(t),
            _number(max((rung["epochs"] for rung in t["rungs"]), default=None)),
            (count(t["instructions"].get(core)), t["instructions"].get(core)),
            _u(t),
            *_costs(t),
            (seconds(t["seconds"]), t["seconds"]),
            _word(t["worker"]),
            _word(_remark(t)),
        )
        for t in result["trials"]
    )
    return _table((*_words("trial", "state"), *_numbers(*heads), *_words("process", "remark")), rows)


def _name(result: Facts, number: int) -> str:
    if result["winner"] == number:
        return f"trial {number}, winner"
    is_baseline = any(t["baseline"] for t in result["trials"] if t["number"] == number)
    return f"trial {number}, baseline" if is_baseline else f"trial {number}"


def _remark(trial: Facts) -> str:
    again = [] if trial["retry_of"] is None else [f"trains the design of trial {trial['retry_of']} again"]
    return "; ".join([*again, *([trial["error"]] if trial["error"] else [])])


def design_table(result: Facts, winner: Facts | None) -> Table:
    """Return a row for each part that the search could choose: what the winner has, and what there was."""
    base = result["baseline"]
    has = parts_of(winner["config"]) if winner else {}
    had = parts_of(base["config"]) if base else {}
    heads = _words("part", *(("winner",) if winner else ()), *((base["name"],) if base else ()), "choices of the space")
    rows = (
        (
            _word(part),
            *([_word(choice_words(has.get(part, MISSING)))] if winner else []),
            *([_word(choice_words(had.get(part, MISSING)))] if base else []),
            _word(", ".join(map(choice_words, choices))),
        )
        for part, choices in result["space"]["dimensions"].items()
    )
    return _table(heads, rows)


def parts_table(parts: Sequence[Facts]) -> Table:
    """Return a row for each choice of each dimension."""
    rows = (
        (
            _word(part["dimension"]),
            _word(choice_words(part["choice"])),
            (f"{part['effect']:+.2f}".replace("-", "\N{MINUS SIGN}"), part["effect"]),
            (f"{part['error']:.2f}", part["error"]),
            (str(part["tried"]), part["tried"]),
        )
        for part in parts
    )
    return _table((*_words("part", "choice"), *_numbers("effect on U, dB", "error, dB", "trials")), rows)


def refused_table(refused: Mapping[str, int], sources: Mapping[str, str]) -> Table:
    """Return a row for each constraint that some design broke or that is known: how often, and where it comes from."""
    counts = {**dict.fromkeys(sources, 0), **refused}
    rows = (
        (_word(name), (count(broken), broken), _word(sources.get(name, MISSING)))
        for name, broken in sorted(counts.items(), key=lambda pair: -pair[1])
    )
    return _table((*_words("constraint"), *_numbers("designs that broke it"), *_words("source")), rows)


def proxy_table(proxies: Sequence[Facts]) -> Table:
    """Return a row for each proxy."""
    rows = (
        (
            _word(one["name"]),
            (_signed(one["rank_correlation"]), one["rank_correlation"]),
            (str(one["trials"]), one["trials"]),
            _word(one["source"]),
        )
        for one in proxies
    )
    return _table((*_words("proxy"), *_numbers("rank correlation", "trials"), *_words("source")), rows)


def ablation_table(result: Facts, winner: Facts) -> Table:
    """Return a row for each part of the winner taken back alone, and the winner above them."""
    core = result["core"]
    heads = (
        *_words("part", "from", "to"),
        *_numbers("accuracy", "against winner", "instructions", "against winner"),
        *_words("breaks"),
        *_numbers(*_COSTS.values()),
    )
    entries = [("winner", "", "", winner, "")]
    entries += [
        (a["part"], choice_words(a["from"]), choice_words(a["to"]), a, ", ".join(a["breaks"]) or "nothing")
        for a in result["ablations"]
    ]
    rows = (
        (
            _word(part),
            _word(before),
            _word(after),
            _accuracy(one),
            _points(one, winner),
            *_instructions(one, winner, core),
            _word(breaks),
            *_costs(one),
        )
        for part, before, after, one, breaks in entries
    )
    return _table(heads, rows)


def _accuracy(one: Facts) -> Cell:
    return percent(one["accuracy"]), one["accuracy"]


def _points(one: Facts, base: Facts) -> Cell:
    """Return the points of accuracy that one has more than the other; nothing is said of itself."""
    if one is base or one["accuracy"] is None or base.get("accuracy") is None:
        return MISSING, None
    more = 100 * (one["accuracy"] - base["accuracy"])
    return points(more), more


def _instructions(one: Facts, base: Facts, core: str) -> tuple[Cell, Cell]:
    value = one["instructions"][core]
    whole = base.get("instructions", {}).get(core)
    part: Cell = (MISSING, None) if one is base or not whole else (change(value, whole), value / whole)
    return (count(value), value), part


def _costs(one: Facts) -> list[Cell]:
    return [(count(one[name]), one[name]) for name in _COSTS]


def _u(one: Facts) -> Cell:
    value = one.get("performance")
    return (MISSING, None) if value is None else (f"{value:.2f}", value)


def _cores(result: Facts) -> list[str]:
    return list(dict.fromkeys(core for t in result["trials"] for core in t["instructions"]))


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _number(value: float | None) -> Cell:
    return (MISSING, None) if value is None else (f"{value:g}", value)


def _word(value: object) -> Cell:
    return str(value), None


def _words(*heads: str) -> tuple[tuple[str, bool], ...]:
    return tuple((head, False) for head in heads)


def _numbers(*heads: str) -> tuple[tuple[str, bool], ...]:
    return tuple((head, True) for head in heads)


def _table(heads: tuple[tuple[str, bool], ...], rows: Iterable[tuple[Cell, ...]]) -> Table:
    return Table(heads, tuple(rows))
