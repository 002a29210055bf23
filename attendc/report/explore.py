"""report.html of an exploration: what was found, what it costs, what was learned, and how it was looked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from attendc import __version__
from attendc.report.explore_front import Dot, draw_front
from attendc.report.explore_parts import draw_parts, largest
from attendc.report.explore_tables import (
    ablation_table,
    design_table,
    front_table,
    parts_table,
    proxy_table,
    refused_table,
    trial_table,
)
from attendc.report.html import fill
from attendc.report.words import change, count, percent, points, seconds, short_count, yaml_text

__all__ = ["render_exploration"]

Facts = Mapping[str, Any]
_WIDE, _NARROW = 1000, 400
_STATES = {
    "complete": "trained to the end",
    "pruned": "stopped early",
    "running": "still training",
    "waiting": "waiting",
    "failed": "failed",
}


def render_exploration(result: Facts) -> str:
    """Return the page: front, winners, design, parts, refusals, proxies, ablations, and how it was run.

    Args:
        result: of a search, as `attendc explore --json` prints it.
    """
    winner = next((t for t in result["trials"] if t["number"] == result["winner"]), None)
    parts = largest(result["parts"])
    sources = {one["name"]: one["source"] for one in result["constraints"]}
    facts = {
        "attendc": __version__,
        "title": f"{result['study']}: {'found' if winner else 'nothing found'}",
        "result": result,
        "winner": winner,
        "sentence": _sentence(result, winner),
        "tiles": _tiles(result, winner),
        "pictures": _front_pictures(result),
        "noise": _noise(result, winner),
        "front": front_table(result),
        "trials": trial_table(result),
        "design": design_table(result, winner),
        "preset": yaml_text(winner["config"]) if winner else "",
        "u": _u_words(result),
        "part_pictures": [draw_parts(parts, w, k) for w, k in ((_WIDE, "wide"), (_NARROW, "narrow"))] if parts else (),
        "all_parts": parts_table(result["parts"]),
        "refused": refused_table(result["refused"], sources),
        "proxies": proxy_table(result["proxies"]),
        "ablations": ablation_table(result, winner) if winner and result["ablations"] else None,
        "how": _how(result),
    }
    return fill("exploration.html", facts)


def _sentence(result: Facts, winner: Facts | None) -> str:
    """Return what was found, against the baseline where there is one."""
    core, base = result["core"], result["baseline"]
    if winner is None:
        return "No trial was trained to the end that holds every constraint and reaches the accuracy asked for."
    cost = winner["instructions"][core]
    reached = f"Trial {winner['number']} reaches {percent(winner['accuracy'])}"
    told = f"{reached} with {short_count(cost)} instructions on {core}"
    if base is None or base["accuracy"] is None:
        return f"{told}."
    more = points(100 * (winner["accuracy"] - base["accuracy"]))
    less = change(cost, base["instructions"][core])
    return f"{told}: {more} points and {less} instructions against {base['name']}, trained by the same protocol."


def _tiles(result: Facts, winner: Facts | None) -> list[dict[str, str]]:
    """Return the few numbers to see first."""
    states = Counter(t["state"] for t in result["trials"])
    told = ", ".join(f"{states[state]} {words}" for state, words in _STATES.items() if states[state])
    tiles = [{"name": "trials", "value": count(len(result["trials"])), "note": told}]
    tiles.append({"name": "training", "value": seconds(result["seconds"]), "note": "of all processes together"})
    if winner is None:
        return tiles
    core, base = result["core"], result["baseline"] or {}
    reached = f"{base['name']}: {percent(base['accuracy'])}" if base else f"after {result['epochs']} epochs"
    spent = f"{base['name']}: {count(base['instructions'][core])}" if base else "of one inference"
    cost = winner["instructions"][core]
    return [
        {"name": "winner's accuracy", "value": percent(winner["accuracy"]), "note": reached},
        {"name": f"instructions, {core}", "value": count(cost), "note": spent},
        {"name": "parameters", "value": count(winner["params"]), "note": f"{count(winner['macs'])} MACs"},
        *tiles,
    ]


def _front_pictures(result: Facts) -> list[Markup]:
    """Return the picture for a desk and for a phone; none where nothing was measured yet."""
    core = result["core"]
    measured = [t for t in result["trials"] if t["accuracy"] is not None and t["state"] != "failed"]
    dots = [_dot(result, t) for t in measured]
    line = sorted((t["instructions"][core], t["accuracy"]) for t in measured if t["number"] in result["front"])
    return [draw_front(dots, line, core, w, k) for w, k in ((_WIDE, "wide"), (_NARROW, "narrow"))] if dots else []


def _dot(result: Facts, trial: Facts) -> Dot:
    number, kind = trial["number"], trial["state"]
    name = told = f"trial {number}"
    if trial["baseline"]:
        kind, name = "baseline", result["baseline"]["name"]
        told = f"{told}, {name}"
    elif number == result["winner"]:
        kind, name = "winner", f"{told}, winner"
    elif number in result["front"]:
        kind, name = "front", str(number)
    else:
        name = ""
    return Dot(name, told, trial["accuracy"], trial["instructions"][result["core"]], kind)


def _noise(result: Facts, winner: Facts | None) -> str:
    """Return how much of an accuracy is chance: its standard error as that of a binomial share."""
    if winner is None:
        return ""
    accuracy, images = winner["accuracy"], result["held_out"]
    error = 100 * math.sqrt(accuracy * (1 - accuracy) / images)
    return f"Measured on {count(images)} held-out images: one standard error of the winner's is {error:.2f} points."


def _u_words(result: Facts) -> str:
    w = result["weights"]
    return f"U = 20 log10(accuracy^{w['alpha']:g} / (parameters^{w['beta']:g} · instructions^{w['gamma']:g}))"


def _how(result: Facts) -> list[tuple[str, str]]:
    """Return how it was run, as names and values."""
    budget = ", ".join(f"{name} {limit:,.12g}" for name, limit in result["budget"].items())
    space = result["space"]
    designs = math.prod(len(choices) for choices in space["dimensions"].values())
    processes = {t["worker"] for t in result["trials"] if t["worker"]}
    return [
        ("command", result["command"]),
        ("study", result["study"]),
        ("storage", result["storage"]),
        ("search", result["search"]),
        ("space", f"{space['name']}: {designs:,} combinations of {len(space['dimensions'])} parts"),
        ("budget", budget or "none"),
        ("performance function", f"{_u_words(result)}, instructions on {result['core']}"),
        ("data", f"{result['data']}: accuracy on {count(result['held_out'])} training images that were held out"),
        ("epochs", str(result["epochs"])),
        ("seed", str(result["seed"])),
        ("processes", count(len(processes))),
        ("attendc", __version__),
    ]
