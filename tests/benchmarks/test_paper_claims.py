"""What measured numbers say of the paper's claims; every number here is made up so that its ratio can be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from paper_claims import CLAIMS, Claim, Row, missing_runs, parts_of, unlike, verdict
from paper_rows import HIGH, LOW, row

ALL_PARTS = Claim("Peer", "", faster=10, smaller=1.37, points=1.1)
PEER = row("Peer", (1100, 1100), (1100, 1100), params=1380)


def told(ours: Row, accuracies: dict[str, tuple[float, ...]]) -> str:
    return verdict(parts_of(ALL_PARTS, ours, PEER, accuracies))


def test_a_claim_is_met_where_size_speed_of_both_types_on_both_cores_and_accuracy_hold() -> None:
    design = row("design", (100, 100), (100, 100))  # 11 times fewer than the peer everywhere; 1.38 times smaller
    assert told(design, {"design": HIGH, "Peer": LOW}) == "met, with accuracy on Fashion-MNIST"


def test_a_claim_without_accuracy_is_met_by_size_and_speed_alone() -> None:
    design = row("design", (100, 100), (100, 100))
    assert verdict(parts_of(Claim("Peer", "", 10, smaller=1), design, PEER, {})) == "met"


def test_exactly_ten_times_is_not_over_ten_times() -> None:
    design = row("design", (110, 100), (100, 100))
    assert told(design, {"design": HIGH, "Peer": LOW}) == "not met: speed in float32 only on the A76"


def test_a_part_that_holds_in_one_type_only_is_named_and_does_not_meet_the_claim() -> None:
    design = row("design", (500, 500), (100, 100))
    assert told(design, {"design": HIGH, "Peer": LOW}) == "not met: speed in float32"


def test_size_counts_parameters_of_the_other_by_those_of_the_design() -> None:
    design = row("design", (100, 100), (100, 100), params=1010)  # 1380 / 1010 = 1.366, asked are over 1.37
    assert told(design, {"design": HIGH, "Peer": LOW}) == "not met: size"


def test_a_claim_is_open_while_a_run_is_missing() -> None:
    design = row("design", (100, 100), (100, 100))
    assert told(design, {"design": HIGH[:2], "Peer": LOW}) == "open: accuracy was not measured"
    assert told(design, {"Peer": LOW}) == "open: accuracy was not measured"


def test_a_claim_that_fails_by_speed_is_not_open() -> None:
    assert told(row("design", (500, 500), (500, 500)), {}) == "not met: speed in float32; speed in int8"


@pytest.mark.parametrize(
    ("ours", "met", "words"),
    [
        ((0.830, 0.830, 0.830), True, "+2.00 points, every run above every run"),  # asked are 1.1
        ((0.8205, 0.8205, 0.8205), False, "+1.05 points, every run above every run"),
        ((0.822, 0.815, 0.830), False, "+1.23 points, runs overlap"),  # 0.815 lies below 0.82
        ((0.700, 0.710, 0.720), False, "-10.00 points, every run below every run"),
    ],
)
def test_accuracy_asks_for_the_points_and_for_runs_that_do_not_overlap(
    ours: tuple[float, ...], met: bool, words: str
) -> None:
    design = row("design", (100, 100), (100, 100))
    part = parts_of(ALL_PARTS, design, PEER, {"design": ours, "Peer": LOW})[-1]
    assert part.measured.startswith(words)
    assert part.met is met


def test_a_file_that_is_not_int8_throughout_is_marked_where_it_is_compared() -> None:
    claim = Claim("Peer", "", faster=1)
    parts = parts_of(claim, row("design", (100, 100), (100, 100)), replace(PEER, mixed=True), {})
    assert [part.measured for part in parts] == ["A72 11.00, A76 11.00", "A72 11.00, A76 11.00, against a mixed file"]


def test_networks_of_two_resolutions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="design at 128 is compared with Peer at 224"):
        parts_of(ALL_PARTS, row("design", (1, 1), (1, 1), size=128), PEER, {})


def test_int8_against_float32_is_told_beside_int8_against_int8() -> None:
    design = row("design", (90, 90), (20, 10), size=128)
    rows = [design, row("Peer", (400, 300), (200, 100)), row("Peer", (100, 90), (60, 40), size=128)]
    found = [(one.core, one.whole, one.alike) for one in unlike(design, "Peer", rows)]
    assert found == [("cortex-a72", 400 / 20, 60 / 20), ("cortex-a76", 300 / 10, 40 / 10)]
    assert [one.alike for one in unlike(design, "Peer", rows[:2])] == [None, None]  # the peer was not counted at 128


def test_runs_that_are_missing_are_counted_by_network() -> None:
    assert missing_runs({"a": HIGH, "b": HIGH[:1]}, ["a", "b", "c"]) == {"b": 2, "c": 3}


def test_the_four_claims_are_those_of_the_abstract() -> None:
    asked = {claim.peer: (claim.faster, claim.smaller, claim.points) for claim in CLAIMS}
    assert asked == {
        "FBNet-C": (10, None, 0),
        "MobileOne-S1": (10, 1, None),
        "MobileNetV3-L": (1, 1.37, 0),
        "MobileViT-XS": (1, None, 1.1),
    }
