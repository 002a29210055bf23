"""How a report writes numbers."""

from __future__ import annotations

import pytest
import yaml

from attendc.report.words import (
    MISSING,
    change,
    count,
    decibels,
    more,
    percent,
    points,
    seconds,
    short_bytes,
    short_count,
    yaml_text,
)

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.35, "+0.35"),
        (-0.35, f"{MINUS}0.35"),
        (0.0, "0.00"),
        (-0.0, "0.00"),
        (-0.004, "0.00"),
        (-0.006, f"{MINUS}0.01"),
    ],
)
def test_points_have_a_sign_unless_they_are_none(value: float, text: str) -> None:
    assert points(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (1200, "+1,200"), (-1200, f"{MINUS}1,200")])
def test_differences_of_bytes_too(value: int, text: str) -> None:
    assert more(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (268_720, "269 kB"), (999_400, "999 kB"), (1_500_000, "1.5 MB"), (2e9, "2 GB")],
)
def test_bytes_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert short_bytes(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.25, "0.2 s"), (99.94, "99.9 s"), (130.0, "2 min 10 s")])
def test_times_grow_to_minutes(value: float, text: str) -> None:
    assert seconds(value) == text


def test_parts_are_percent_with_two_decimals() -> None:
    assert (percent(0.9460), count(268720), decibels(31.24)) == ("94.60 %", "268,720", "31.2 dB")


def test_what_was_not_measured_is_a_dash() -> None:
    assert {write(None) for write in (points, more, seconds, percent, count, decibels)} == {MISSING}


def test_yaml_keeps_the_order_of_keys_and_takes_any_value() -> None:
    told = {"b": (1, 2.5), "a": {"x": None, "y": "é: #"}, "c": b"odd"}
    text = yaml_text(told)
    assert yaml.safe_load(text) == {"b": [1, 2.5], "a": {"x": None, "y": "é: #"}, "c": "b'odd'"}
    assert text.index("b:") < text.index("a:")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (2_654_321, "2.65 M"), (999_600, "1000 k"), (45_200, "45.2 k"), (2e9, "2 G")],
)
def test_counts_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert short_count(value) == text


@pytest.mark.parametrize(
    ("value", "whole", "text"),
    [(66, 100, f"{MINUS}34.0 %"), (150, 100, "+50.0 %"), (100, 100, "0.0 %"), (1, 0, MISSING), (None, 5, MISSING)],
)
def test_changes_have_a_sign_and_percent(value: float | None, whole: float, text: str) -> None:
    assert change(value, whole) == text
