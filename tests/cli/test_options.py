"""How the texts of options become values."""

from __future__ import annotations

import click
import pytest

from attendc.cli.options import BUDGETS, IMPORTANCES, key_values, size
from attendc.compress.pruning import cost, importance


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("classes=7", {"classes": 7}),
        ("ratio=0.5", {"ratio": 0.5}),
        ("widths=[4, 8]", {"widths": [4, 8]}),
        ("stem_pool=true", {"stem_pool": True}),
        ("gate=softmax", {"gate": "softmax"}),
        ("url=a=b", {"url": "a=b"}),
        ("name=", {"name": ""}),
    ],
)
def test_a_value_that_is_json_becomes_that_and_else_stays_text(text: str, expected: dict[str, object]) -> None:
    assert key_values((text,)) == expected


def test_the_later_of_two_values_wins() -> None:
    assert key_values(("a=1", "b=2", "a=3")) == {"a": 3, "b": 2}


@pytest.mark.parametrize("text", ["gate", "=softmax", ""])
def test_a_text_without_key_or_sign_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=f"'{text}' is not K=V"):
        key_values((text,))


@pytest.mark.parametrize(("text", "expected"), [("32x48", (32, 48)), ("32X48", (32, 48)), ("", None)])
def test_a_size_is_height_x_width(text: str, expected: tuple[int, int] | None) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["32", "32x", "0x32", "-1x4", "32x32x3", "axb"])
def test_a_size_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=f"'{text}' is not HxW"):
        size(text)


def test_the_names_of_budgets_and_importances_are_those_of_pruning() -> None:
    assert (*cost.COSTS, "budget") == BUDGETS  # the last is of a core, by its own table
    assert importance.IMPORTANCES == IMPORTANCES
