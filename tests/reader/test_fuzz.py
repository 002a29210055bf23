"""Whatever is in a file, what comes back is a recipe or its faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from small_stages import STAGES, read

from attendc.errors import UsageError
from attendc.reader.faults import Fault, RecipeError
from attendc.reader.load import load_recipe
from attendc.reader.write import recipe_to_yaml
from attendc.recipe import Recipe

WHOLE = """version: 1
name: fuzz
vars: {checkpoint: a.pt, epochs: 2, deep: [1, {a: "${epochs}"}]}
model: {checkpoint: "${checkpoint}", args: {x: "${deep}"}, input_shape: [1, 2, 3], trust: false}
data: mini
target: cortex-a53
seed: 3
variants: {a: {epochs: 1}, b: {}}
stages:
  - grow: {mode: fast, epochs: "${epochs}", sizes: [1], keep: {a: 0.5}, inner: {width: 2}, calib: random}
  - cut: {by: 1e-3}
  - grow
"""
PIECES = [
    "${",
    "}",
    "${epochs}",
    "&a ",
    "*a",
    "!x ",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "\n",
    "  ",
    "\t",
    '"',
    "'",
    "|\n",
    "? ",
    "---\n",
]
PIECES += [
    "null",
    ".nan",
    "1e999",
    "<<",
    "%",
    "@",
    "\\",
    "\0",
    "\x85",
    "\ufeff",
    "on",
    "0x",
    "grow",
    "stages:",
    "extends: ",
    "#",
]
SOME = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(text: str, *sets: str) -> None:
    """Read; a recipe can be written and read again, a fault has words and a place."""
    recipe, faults = outcome(text, *sets)
    assert (recipe is None) == bool(faults)
    assert all(fault.file and fault.message and len(str(fault).splitlines()) == 1 for fault in faults)
    if recipe is not None:
        assert read(recipe_to_yaml(recipe, stages=STAGES)) == recipe


def outcome(text: str, *sets: str) -> tuple[Recipe | None, tuple[Fault, ...]]:
    try:
        return read(text, *sets), ()
    except RecipeError as e:
        return None, e.faults


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Draw the recipe with some places changed."""
    text = WHOLE
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at + draw(st.integers(0, 4)) :]
    return text


@SOME
@given(mutated())
def test_mutated_recipes(text: str) -> None:
    attempt(text)


@SOME
@given(st.lists(st.sampled_from([*PIECES, "a", "1", " "]), max_size=30).map("".join))
def test_texts_of_odd_pieces(text: str) -> None:
    attempt(text)


@SOME
@given(
    st.text(st.sampled_from("abseding.[]=0123{}$: \"'!&*\0"), max_size=20),
    st.sampled_from(["", "seed=", "stages", "vars."]),
)
def test_odd_overrides(text: str, start: str) -> None:
    attempt(WHOLE, start + text)


@SOME
@given(st.binary(max_size=200))
def test_random_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        load_recipe(path)


def test_the_recipe_that_is_mutated_is_sound() -> None:
    assert list(read(WHOLE).variants) == ["a", "b"]
