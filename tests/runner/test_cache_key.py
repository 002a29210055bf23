"""The key of a stage: the same for the same content, another for any other."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from attendc.errors import InternalError
from attendc.runner.cache import stage_key


@dataclass(frozen=True)
class Config:
    epochs: int = 1
    ratios: tuple[float, ...] = (0.5,)


@dataclass(frozen=True)
class OtherConfig:
    epochs: int = 1
    ratios: tuple[float, ...] = (0.5,)


class Colour(Enum):
    RED = 1


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.text().map(Path)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
INGREDIENTS = st.dictionaries(st.text(), TREES, min_size=1)


def turned_round(value: Any) -> Any:
    """Return the same content with every mapping put together from its end."""
    if isinstance(value, dict):
        return {k: turned_round(v) for k, v in reversed(value.items())}
    return [turned_round(v) for v in value] if isinstance(value, list) else value


def with_one_leaf_changed(value: Any) -> Iterator[Any]:
    """Yield copies of `value`, in each of which another leaf has become a text that was not in it."""
    if isinstance(value, dict):
        for name in value:
            yield from ({**value, name: other} for other in with_one_leaf_changed(value[name]))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from ([*value[:i], other, *value[i + 1 :]] for other in with_one_leaf_changed(item))
    else:
        yield f"not {value!r}"


@pytest.mark.slow
@given(INGREDIENTS)
def test_the_order_of_names_does_not_matter(ingredients: dict[str, Any]) -> None:
    assert stage_key(turned_round(ingredients)) == stage_key(ingredients)


@pytest.mark.slow
@given(INGREDIENTS)
def test_every_leaf_matters(ingredients: dict[str, Any]) -> None:
    for changed in with_one_leaf_changed(ingredients):
        assert stage_key(changed) != stage_key(ingredients)


@pytest.mark.slow
@given(INGREDIENTS, st.text())
def test_one_more_name_matters(ingredients: dict[str, Any], name: str) -> None:
    assert stage_key({**ingredients, name + "x" * 9: None, name: 1}) != stage_key({**ingredients, name: 1})


def test_the_key_is_the_digest_of_plain_json() -> None:
    # printf '{"a":[1,0.5],"b":null}' | sha256sum
    expected = "01b9c5a6e6f861c6"
    assert len(stage_key({"b": None, "a": (1, 0.5)})) == 64
    assert stage_key({"b": None, "a": (1, 0.5)}).startswith(expected)


def test_things_that_look_alike_have_keys_of_their_own() -> None:
    alike: list[Any] = [
        1, 1.0, True, "1", b"1", Path("1"), [1], {"1": 1}, {1}, None, "None", math.nan, "nan", math.inf, -math.inf,
        Colour.RED, Config(), OtherConfig(), {"epochs": 1, "ratios": [0.5]}, {"!path": "1"}, {"!!path": "1"},
        {"!bytes": "31"}, 0.1 + 0.2, 0.3,
    ]  # fmt: skip
    assert len({stage_key({"x": value}) for value in alike}) == len(alike)


def test_lists_and_tuples_are_one_kind() -> None:
    assert stage_key({"x": (1, (2, 3))}) == stage_key({"x": [1, [2, 3]]})


def test_sets_have_no_order() -> None:
    assert stage_key({"x": {"a", "b", "c"}}) == stage_key({"x": frozenset(["c", "b", "a"])})


def test_another_process_finds_the_same_key() -> None:
    code = "from attendc.runner.cache import stage_key; print(stage_key({'x': {'a', 'b', 'c', 'd'}, 'y': 0.1}))"
    texts = {subprocess.check_output([sys.executable, "-c", code], text=True).strip() for _ in range(3)}
    assert texts == {stage_key({"y": 0.1, "x": {"d", "c", "b", "a"}})}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"configs": [Config(), object()]}, r"\.configs\[1\]: a object"),
        ({"f": print}, r"\.f: a builtin_function_or_method"),
        ({"kind": Config}, r"\.kind: a type"),
        ({"x": {1: "a"}}, r"\.x: its name 1 is no text"),
    ],
)
def test_what_has_no_lasting_text_is_refused_by_its_place(value: dict[str, Any], told: str) -> None:
    with pytest.raises(InternalError, match=told):
        stage_key(value)
