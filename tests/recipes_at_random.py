"""Recipes at random, with the small stages of tests and with every kind of value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from small_stages import Cut, Grow, Inner

from attendc.recipe import DataSection, ModelSection, Recipe, StageEntry, TargetSection

__all__ = ["recipes", "texts"]

TRICKY = ["", "null", "~", "3", "1e3", "0o7", "08", "true", "on", "1:30", "2024-01-01", "- a", "a: b", "#", " a ", "<<"]
TRICKY += [
    "${a}",
    "$${a}",
    "$$",
    "${env:HOME}",
    "!x",
    "&x",
    "*x",
    "a\nb",
    "a\n\n b\n",
    "\t",
    "\x85",
    "\u2028",
    "\ufeff",
    "é😀",
    "'",
    '"',
]
LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


def texts() -> st.SearchStrategy[str]:
    return st.sampled_from(TRICKY) | st.text(LETTERS, max_size=20)


def _numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, exclude_min=True, exclude_max=True)


def _json() -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | texts()
    scalars |= st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        scalars, lambda one: st.lists(one, max_size=3) | st.dictionaries(texts(), one, max_size=3), max_leaves=6
    )


def _entries() -> st.SearchStrategy[StageEntry]:
    counts = st.integers(1, 10**6)
    grow = st.builds(
        Grow,
        mode=st.sampled_from(["slow", "fast"]),
        epochs=counts,
        lr=_numbers(0, 1),
        calib=counts | st.just("random"),
        budget=st.none() | texts() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        sizes=st.lists(counts, max_size=3).map(tuple),
        shape=st.none() | st.tuples(st.integers(), st.integers()),
        keep=st.dictionaries(texts(), st.floats(0, 1), max_size=3),
        inner=st.builds(Inner, st.integers()),
        gate=st.booleans(),
    )
    cut = st.builds(Cut, by=st.floats(-1e6, 1e6), of=texts().filter(lambda of: of != "nothing"))
    return grow.map(lambda config: StageEntry("grow", config)) | cut.map(lambda config: StageEntry("cut", config))


def _sections() -> dict[str, st.SearchStrategy[Any]]:
    model = st.builds(
        ModelSection,
        checkpoint=texts().filter(bool),
        sha256=st.sampled_from(["", "0" * 64, "1" * 64, "0e" + "1" * 62]),
        factory=st.sampled_from(["", "a.b:c"]),
        args=st.dictionaries(texts(), _json(), max_size=3),
        trust=st.booleans(),
        input_shape=st.none() | st.tuples(*[st.integers(1, 999)] * 3),
        mean=st.lists(_numbers(0, 1), max_size=3).map(tuple),
        fit=st.sampled_from([None, "pad", "none"]),
    )
    return {
        "model": model,
        "data": st.builds(DataSection, source=texts()),
        "target": st.builds(TargetSection, core=st.sampled_from(["cortex-a76", "cortex-a53"])),
        "seed": st.integers(0, 2**32 - 1),
        "device": st.sampled_from(["cpu", "cuda"]),
        "threads": st.none() | st.integers(1, 64),
        "output": texts().filter(bool),
        "stages": st.lists(_entries(), min_size=1, max_size=3).map(tuple),
    }


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Draw a recipe, now and then with variants that differ in one thing or several."""
    name = draw(st.sampled_from(["r", "my run", "007", "null", "1e3", "a-b_c.d"]))
    sections = _sections()
    recipe = Recipe(name=name, **{key: draw(values) for key, values in sections.items()})
    names = draw(st.lists(st.sampled_from(["a", "b", "3"]), unique=True, max_size=3))
    variants = {}
    for one in names:
        changed = draw(st.lists(st.sampled_from(sorted(sections)), unique=True, max_size=2))
        variants[one] = replace(recipe, **{key: draw(sections[key]) for key in changed})
    return replace(recipe, variants=variants)
