"""The page and the picture of the paper's table, of made-up numbers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

from paper_page import Found, written
from paper_picture import draw_claims
from paper_rows import HIGH, LOW, row

M = 1_000_000
RECIPE = {
    "images": 60000,
    "test": 10000,
    "size": 32,
    "epochs": 3,
    "batch_size": 128,
    "lr": 0.002,
    "label_smoothing": 0.1,
}
NAMES = ("FBNet-C", "MobileOne-S1", "MobileNetV3-L", "MobileViT-XS")
FAST = row("fast", (9 * M, 9 * M), (M, M), params=3 * M)
SLOW = row("slow", (300 * M, 300 * M), (90 * M, 90 * M), params=3 * M)
PEERS = [row(name, (100 * M, 100 * M), (60 * M, 60 * M), params=5 * M) for name in NAMES]
SMALL = [replace(one, size=128) for one in (row("small", (5 * M, 5 * M), (4 * M, 4 * M)), PEERS[0])]
TRAINED = [replace(one, size=32) for one in (FAST, *PEERS)]
ACCURACIES = {"fast": HIGH, **dict.fromkeys(NAMES[:3], LOW), "MobileViT-XS": LOW[:1]}
FOUND = Found([FAST, SLOW, *PEERS, *SMALL], TRAINED, ACCURACIES, RECIPE, "command", "training")


def lines_with(start: str) -> list[str]:
    return [line for line in written(FOUND, "table").splitlines() if line.startswith(start)]


def test_every_claim_has_a_verdict_for_every_design_at_224() -> None:
    met = "met, with accuracy on Fashion-MNIST"
    speed = "not met: speed in float32; speed in int8"
    assert lines_with("| **verdict**")[:4] == [
        f"| **verdict** | | **{met}** | **{speed}** |",
        f"| **verdict** | | **met** | **{speed}** |",
        f"| **verdict** | | **{met}** | **{speed}** |",
        f"| **verdict** | | **open: accuracy was not measured** | **{speed}** |",
    ]


def test_what_becomes_of_a_claim_is_said_in_words() -> None:
    assert lines_with("1. ") == ["1. FBNet-C: Met by fast: met, with accuracy on Fashion-MNIST."]
    assert lines_with("4. ") == ["4. MobileViT-XS: Open for fast: what was measured holds; accuracy was not measured."]


def test_a_claim_that_nobody_meets_is_told_part_by_part() -> None:
    half = row("half", (50 * M, 50 * M), (5 * M, 6 * M))  # int8: 12 times fewer on the A72, 10 times on the A76
    found = replace(FOUND, rows=[SLOW, half, *PEERS])
    assert (
        "1. FBNet-C: Not met by any design. Part by part, who meets it: "
        "speed in float32 (over 10 times as fast): none; "
        "speed in int8 (over 10 times as fast): half only on the A72; "
        "accuracy (more accurate): not measured."
    ) in written(found, "table")


def test_a_smaller_input_has_a_table_of_its_own_with_the_other_network_at_the_same_input() -> None:
    small = written(FOUND, "table").split("## The same at 128x128")[1].split("##")[0]
    assert "| speed in int8 | over 10 times as fast | A72 15.00, A76 15.00: yes |" in small  # 60 M / 4 M
    assert "MobileOne-S1" not in small  # which was not counted at 128


def test_int8_at_a_smaller_input_against_float32_at_224_is_set_apart_and_called_what_it_is() -> None:
    gain = "over 10 on the A72 and A76 only with int8 and a smaller input against float32"
    smaller = replace(FOUND, rows=[*FOUND.rows, replace(PEERS[1], size=128, instructions=SMALL[0].instructions)])
    lines = written(smaller, "table").splitlines()
    assert "| small | 128 | FBNet-C | over 10 | A72 25.00, A76 25.00 | A72 15.00, A76 15.00 |  |" in lines
    assert f"| small | 128 | MobileOne-S1 | over 10 | A72 25.00, A76 25.00 | A72 1.00, A76 1.00 | {gain} |" in lines
    assert "| small | 128 | MobileViT-XS | over 1 | A72 25.00, A76 25.00 | - |  |" in lines  # not counted at 128


def test_accuracy_stands_beside_its_costs_and_missing_runs_are_named() -> None:
    page = written(FOUND, "table")
    assert "| fast | 91.00% | 1.00 | 90.00, 91.00, 92.00 | 3.00 | 0.0 | 9.0 | 9.0 | 1.0 | 1.0 |" in page
    assert "**Runs that are still missing: 2 of MobileViT-XS.**" in page


def test_the_picture_names_every_network_and_is_the_same_each_time() -> None:
    rows = [one for one in FOUND.rows if one.size == 224]
    picture = draw_claims(rows, TRAINED, ACCURACIES)
    words = [text.text for text in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert {"fast", "slow", *NAMES, "a tenth of FBNet-C in float32"} <= set(words)
    assert words.count("slow") == 1  # it was not trained
    assert "2 of 15 runs are missing" in words
    assert draw_claims(rows, TRAINED, ACCURACIES) == picture


def test_a_picture_without_trainings_says_so() -> None:
    assert "no training is finished" in draw_claims(PEERS, TRAINED, {})
