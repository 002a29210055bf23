"""What is typed as a budget, and what is meant."""

from __future__ import annotations

import pytest

from attendc.amounts import Amount
from attendc.compress.pruning.amount import amount_of, core_amount_of, unit_of
from attendc.errors import UsageError


@pytest.mark.parametrize(
    ("text", "core", "amount"),
    [
        ("cortex-a76:0.6", "cortex-a76", Amount(0.6, is_part=True)),
        ("cortex-a72:.25", "cortex-a72", Amount(0.25, is_part=True)),
        ("cortex-a53:40M", "cortex-a53", Amount(40e6, is_part=False)),
        ("neoverse-n1:1.5G", "neoverse-n1", Amount(1.5e9, is_part=False)),
        ("cortex-a76:2950000", "cortex-a76", Amount(2_950_000, is_part=False)),
        ("0.6", "", Amount(0.6, is_part=True)),  # of the recipe's target
        ("40M", "", Amount(40e6, is_part=False)),
    ],
)
def test_a_core_and_a_part_of_its_instructions_or_so_many(text: str, core: str, amount: Amount) -> None:
    assert core_amount_of(text) == (core, amount)


@pytest.mark.parametrize(
    "text",
    ["cortex-a76", "cortex-a76:", "cortex-a76:half", "cortex-a76:1.5", "cortex-a76:-1", "cortex-a76:0.6:0.5", ""],
)
def test_what_is_neither_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"budget=.* is no budget|no core") as e:
        core_amount_of(text)
    assert e.value.hint


def test_an_unknown_core_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no core 'cortex-a67'") as e:
        core_amount_of("cortex-a67:0.6")
    assert "Did you mean cortex-a76" in (e.value.hint or "")


def test_a_part_is_of_the_whole_and_a_number_is_itself() -> None:
    assert amount_of("macs", "0.25").limit(400) == 100
    assert amount_of("macs", "6M").limit(400) == 6_000_000


def test_what_is_counted() -> None:
    assert [unit_of("macs", "0.5"), unit_of("budget", "cortex-a76:0.6")] == ["macs", "instructions on cortex-a76"]
