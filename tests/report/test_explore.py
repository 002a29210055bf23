"""The page of an exploration: every number of the result in its place, and nothing that is not known."""

from __future__ import annotations

import copy
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up_explorations import CORE, a_result
from playwright.sync_api import Browser, Page

from attendc.report.explore import render_exploration
from attendc.report.explore_front import LOOKS, Dot, draw_front
from attendc.report.explore_parts import draw_parts, largest
from attendc.report.explore_words import choice_words, parts_of
from attendc.report.words import MISSING, percent

MINUS = "\N{MINUS SIGN}"
RESULT = a_result()
WINNER = RESULT["trials"][RESULT["winner"]]


def table(page: str, caption: str) -> list[list[str]]:
    """Return the cells of the table whose caption begins so, its heads first."""
    found = re.search(rf"<caption>{re.escape(caption)}.*?</table>", page, re.DOTALL)
    assert found, caption
    rows = re.findall(r"<tr>(.*?)</tr>", found[0], re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in rows]


def changed(**fields: Any) -> str:
    """Return the page of the result with other fields."""
    return render_exploration({**copy.deepcopy(RESULT), **fields})


@pytest.fixture(scope="module")
def page() -> str:
    return render_exploration(RESULT)


def test_the_page_is_the_same_from_the_json_of_the_result(page: str) -> None:
    assert render_exploration(json.loads(json.dumps(RESULT))) == page


def test_it_says_what_was_found_against_the_baseline(page: str) -> None:
    base = RESULT["baseline"]
    more = f"{100 * (WINNER['accuracy'] - base['accuracy']):+.2f}".replace("-", MINUS)
    less = f"{100 * (WINNER['instructions'][CORE] / base['instructions'][CORE] - 1):+.1f}".replace("-", MINUS)
    assert f"{more} points and {less} % instructions against attendnext_nano" in page
    assert f"Trial {WINNER['number']} reaches {percent(WINNER['accuracy'])}" in page


def test_the_noise_of_an_accuracy_is_that_of_a_share() -> None:
    # 600 images: a share of 0.9 has the standard error sqrt(0.9 * 0.1 / 600) = 1.22 points.
    trials = copy.deepcopy(RESULT["trials"])
    trials[RESULT["winner"]]["accuracy"] = 0.9
    assert "Measured on 600 held-out images: one standard error of the winner&#39;s is 1.22 points." in changed(
        trials=trials
    )


def test_the_front_stands_with_its_costs_the_cheapest_first(page: str) -> None:
    heads, *rows = table(page, "The front")
    numbers = [t for t in RESULT["trials"] if t["number"] in {*RESULT["front"], RESULT["winner"]}]
    numbers.sort(key=lambda t: t["instructions"][CORE])
    names = [f"trial {t['number']}" + (", winner" if t is WINNER else "") for t in numbers]
    assert [row[0] for row in rows] == [*names, "attendnext_nano, baseline"]
    row = dict(zip(heads, next(r for r in rows if "winner" in r[0]), strict=True))
    assert row["parameters"] == f"{WINNER['params']:,}"
    assert row["MACs"] == f"{WINNER['macs']:,}"
    assert row["memory"] == f"{WINNER['memory']:,}"
    assert row["U, dB"] == f"{WINNER['performance']:.2f}"
    assert row["instructions"] == f"{WINNER['instructions'][CORE]:,.0f}"
    assert row["instructions, cortex-a72"] == f"{WINNER['instructions']['cortex-a72']:,.0f}"


def test_every_trial_stands_with_its_state_and_why_it_failed(page: str) -> None:
    heads, *rows = table(page, "Every trial")
    assert [row[1] for row in rows] == [t["state"] for t in RESULT["trials"]]
    failed = dict(zip(heads, rows[-1], strict=True))
    assert (failed["accuracy"], failed["remark"]) == (MISSING, "the process host:100 was killed")
    assert rows[0][0] == "trial 0, baseline"


def test_a_trial_that_was_trained_again_says_of_which(page: str) -> None:
    trials = copy.deepcopy(RESULT["trials"])
    trials[4]["retry_of"] = 2
    assert table(changed(trials=trials), "Every trial")[5][-1] == "trains the design of trial 2 again"


def test_the_design_stands_beside_the_baseline_and_the_choices(page: str) -> None:
    heads, *rows = table(page, "Every part")
    told = {row[0]: row[1:] for row in rows}
    assert heads[1:3] == ["winner", "attendnext_nano"]
    assert list(told) == list(RESULT["space"]["dimensions"])
    assert told["width2"][1] == "32"  # PRESETS["attendnext_nano"].widths[1]
    assert told["stage_strides"][1] == "1 2 2 2"
    assert told["resolution"][1:] == ["32", ", ".join(map(str, RESULT["space"]["dimensions"]["resolution"]))]
    assert told["gate"][0] == WINNER["config"]["gate"]


def test_what_was_learned_stands_with_its_error(page: str) -> None:
    rows = table(page, "What each choice does")[1:]
    first = RESULT["parts"][0]
    assert len(rows) == len(RESULT["parts"])
    effect = f"{first['effect']:+.2f}".replace("-", MINUS)
    assert rows[0] == ["resolution", "28", effect, f"{first['error']:.2f}", str(first["tried"])]


def test_refusals_stand_with_their_source_and_those_that_nobody_broke_with_0(page: str) -> None:
    rows = [row[:3] for row in table(page, "How many")[1:]]
    assert [row[:2] for row in rows][: len(RESULT["refused"])] == [[k, f"{v:,}"] for k, v in RESULT["refused"].items()]
    assert ["anti-aliased downsampling", "0", "arXiv 2208.06980; arXiv 1904.11486"] in [
        row[:3] for row in table(changed(refused={}), "How many")[1:]
    ]


def test_proxies_stand_with_their_correlation_and_a_dash_where_there_is_none(page: str) -> None:
    # Made up: naswot scores as the accuracy does, synflow the other way, snip the same everywhere.
    told = {row[0]: row[1] for row in table(page, "Scores")[1:]}
    assert (told["naswot"], told["synflow"], told["snip"]) == ("+1.00", f"{MINUS}1.00", MISSING)


def test_ablations_stand_with_what_they_cost_and_break(page: str) -> None:
    heads, winner, *rows = table(page, "What each part costs")
    assert (winner[0], winner[4], winner[6]) == ("winner", MISSING, MISSING)
    assert [row[0] for row in rows] == [a["part"] for a in RESULT["ablations"]]
    one = next(a for a in RESULT["ablations"] if a["part"] == "downsample")
    told = dict(zip(heads, next(row for row in rows if row[0] == "downsample"), strict=True))
    assert (told["from"], told["to"]) == ("pool", "strided")
    assert told["breaks"] == "no strided pointwise convolution, anti-aliased downsampling"
    assert told["accuracy"] == percent(one["accuracy"])
    assert "None was trained" not in page
    assert "None was trained: attendc explore --ablate" in render_exploration(a_result(6, ablate=False))


def test_how_it_was_run_is_told(page: str) -> None:
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))
    assert facts["command"] == RESULT["command"]
    assert facts["storage"] == "postgresql://ada:***@host/studies"
    assert facts["budget"] == "cortex-a76 2,700,000, params 500,000"
    assert facts["data"] == "fashion-mnist-mini: accuracy on 600 training images that were held out"
    assert (facts["seed"], facts["epochs"], facts["processes"]) == ("0", "9", "2")
    assert "accuracy^2 / (parameters^0.5 · instructions^0.5)" in facts["performance function"]


def test_without_a_winner_the_page_says_so() -> None:
    page = changed(winner=None, front=[], ablations=[])
    assert "Nothing found" in page
    assert "There is no winner to take apart." in page
    assert table(page, "Every part")[0][1] == "attendnext_nano"


def test_without_a_baseline_nothing_is_compared_with_it() -> None:
    trials = [t for t in RESULT["trials"] if not t["baseline"]]
    page = changed(baseline=None, trials=trials)
    assert table(page, "The front")[0][:4] == ["design", "accuracy", "instructions", "U, dB"]
    assert "trained by the same protocol" not in page
    assert "Dashed" not in page


def test_of_a_study_that_has_only_begun_there_is_nothing_yet() -> None:
    nothing = {"trials": [], "front": [], "winner": None, "baseline": None, "parts": [], "ablations": [], "refused": {}}
    page = changed(**nothing, seconds=0.0)
    assert page.count("No trial was measured yet.") == 2
    assert "<svg" not in page


@pytest.mark.parametrize(
    ("choice", "words"), [([1, 2, 2, 2], "1 2 2 2"), ((28, 32), "28x32"), (True, "yes"), (16, "16")]
)
def test_a_choice_in_words(choice: Any, words: str) -> None:
    assert choice_words(choice) == words


def test_a_design_has_a_part_for_each_stage_and_one_number_for_a_square() -> None:
    parts = parts_of({"widths": [8, 16], "depths": [1, 2], "gate": "sigmoid", "input_size": [28, 28]})
    assert parts == {"width1": 8, "width2": 16, "depth1": 1, "depth2": 2, "gate": "sigmoid", "resolution": 28}
    assert parts_of({"input_size": [28, 32]}) == {"resolution": (28, 32)}


def places(svg: str, kind: str) -> list[tuple[float, float]]:
    """Return the middle of each circle of that class."""
    return [
        (float(c.get("cx") or 0), float(c.get("cy") or 0))
        for c in ET.fromstring(svg).iter("circle")
        if c.get("class") == kind
    ]


def test_the_picture_has_more_accurate_designs_above_and_dearer_ones_to_the_right() -> None:
    dots = [Dot(str(k), f"trial {k}", 0.8 + 0.05 * k, 1e6 * (k + 1), "front") for k in range(3)]
    line = [(d.instructions, d.accuracy) for d in dots]
    svg = draw_front(dots, line, CORE, 400, "")
    (x0, y0), (x1, y1), (x2, y2) = places(svg, "mark c0")[:3]
    assert x0 < x1 < x2
    assert y0 > y1 > y2
    path = next(p.get("d") for p in ET.fromstring(svg).iter("path") if p.get("class") == "line c0")
    corners = [tuple(float(v) for v in one.split()) for one in str(path).removeprefix("M").split("L")]
    assert corners == [(x0, y0), (x1, y0), (x1, y1), (x2, y1), (x2, y2)]


def test_a_phone_sees_what_every_mark_means() -> None:
    dots = [Dot("", "", 0.9, 1e6, kind) for kind in LOOKS if kind != "running"]
    words = [str(one.text) for one in ET.fromstring(draw_front(dots, (), CORE, 400, "")).iter("text")]
    assert words[-5:] == ["winner", "baseline", "front", "finished", "stopped"]


def test_a_trial_that_learned_nothing_lies_at_the_lower_edge_and_presses_no_other_upwards() -> None:
    good = [Dot("", "", 0.90 + 0.01 * k, 1e6 * (k + 1), "complete") for k in range(6)]
    with_it = places(draw_front([*good, Dot("", "", 0.1, 2e6, "complete")], (), CORE, 400, ""), "open c0")
    bottom = max(y for _, y in with_it)
    assert with_it[6][1] == bottom == 380 - 42
    assert max(y for _, y in with_it[:6]) - min(y for _, y in with_it[:6]) > 200


def test_parts_are_shown_by_the_size_of_their_effect_untried_ones_not_at_all() -> None:
    parts = [
        {"dimension": "gate", "choice": k, "effect": e, "error": 0.1, "tried": k} for k, e in enumerate([9, 1, -2])
    ]
    assert [p["effect"] for p in largest(parts)] == [1, -2]
    alone = {"dimension": "mix", "choice": "border", "effect": 0.0, "error": 0.0, "tried": 9}
    assert alone not in largest([*parts, alone])
    many = [{"dimension": "d", "choice": k, "effect": (-1) ** k * k, "error": 1, "tried": 1} for k in range(30)]
    assert sorted(abs(p["effect"]) for p in largest(many)) == list(range(10, 30))


def test_a_part_points_up_or_down_only_where_it_is_more_than_an_error_from_zero() -> None:
    effects = {"a": (0.5, 0.2), "b": (-0.5, 0.2), "c": (0.5, 0.6)}
    parts = [{"dimension": k, "choice": 1, "effect": e, "error": s, "tried": 2} for k, (e, s) in effects.items()]
    svg = ET.fromstring(draw_parts(parts, 400, ""))
    classes = [str(one.get("class")) for one in svg.iter() if str(one.get("class")).startswith("mark")]
    assert classes == ["mark c2", "mark c4", "mark c5"]


def test_names_are_only_words() -> None:
    evil = "<script>alert(1)</script>"
    page = changed(study=evil, command=evil, data=evil)
    assert evil not in page
    assert page.count("<script>") == 1


@pytest.fixture
def look(chromium: Browser, tmp_path: Path) -> Iterator[Callable[[int], Page]]:
    """Return what opens the page in a window of a width; nothing may be asked for but the file."""
    path, faults, windows = tmp_path / "report.html", list[str](), []
    path.write_text(render_exploration(RESULT), encoding="utf-8")

    def open_page(width: int) -> Page:
        window = chromium.new_context(viewport={"width": width, "height": 900})
        windows.append(window)
        opened = window.new_page()
        opened.on("console", lambda message: faults.append(message.text))
        opened.on("request", lambda one: faults.append(one.url) if one.url not in (path.as_uri(), "data:,") else None)
        opened.goto(path.as_uri())
        return opened

    yield open_page
    for window in windows:
        window.close()
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [340, 1200])
def test_in_a_browser_it_fits_its_width_and_shows_its_two_pictures(look: Callable[[int], Page], width: int) -> None:
    page = look(width)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    boxes = [one.bounding_box() for one in page.locator("svg.picture").all() if one.is_visible()]
    assert len(boxes) == 2
    assert all(box is not None and box["width"] > 280 and box["height"] > 250 for box in boxes)
