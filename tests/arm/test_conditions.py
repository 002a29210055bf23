"""Conditions to fail on, as they are typed."""

import pytest

from attendc.arm.check.conditions import Condition, condition
from attendc.errors import UsageError


@pytest.mark.parametrize(
    ("text", "measure", "comparison", "amount", "holds", "not_"),
    [
        ("partitions>1", "partitions", ">", 1, 2, 1),
        ("instructions >= 60M", "instructions", ">=", 60e6, 60e6, 59_999_999),
        ("bytes>4.5k", "bytes", ">", 4500, 4501, 4500),
        ("macs<1G", "macs", "<", 1e9, 999_999_999, 1e9),
        ("fallen==0", "fallen", "==", 0, 0, 1),
        ("fallen<=2", "fallen", "<=", 2, 2, 3),
    ],
)
def test_a_condition_is_read_and_holds(
    text: str, measure: str, comparison: str, amount: float, holds: float, not_: float
) -> None:
    found = condition(text)
    assert found == Condition(text, measure, comparison, amount)
    assert (found.holds(holds), found.holds(not_)) == (True, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partitions", "'partitions' is no condition"),
        ("partitions=1", "'partitions=1' is no condition"),
        ("parts>1", "nothing is called parts"),
        ("instructions>60Q", "instructions=60Q is no amount"),
        ("instructions>", "is no condition"),
        ("", "is no condition"),
    ],
)
def test_what_is_none_names_what_is_possible(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        condition(text)
    assert "60M" in caught.value.hint or "=40M" in caught.value.hint
