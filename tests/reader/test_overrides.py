"""What `--set PATH=VALUE` changes, and what is said where it fits nowhere."""

from __future__ import annotations

import pytest
from small_stages import Cut, Grow, Inner, faults_of, read

from attendc.reader.faults import Fault

BASE = """version: 1
model: a.pt
vars: {epochs: 5}
stages:
  - grow: {epochs: "${epochs}"}
  - cut: {by: 1}
  - grow
"""
ONE = "version: 1\nmodel: a.pt\nstages: [grow]\n"


@pytest.mark.parametrize("path", ["stages.grow.epochs", "stages[0].grow.epochs"])
def test_a_stage_is_named_or_counted(path: str) -> None:
    assert read(ONE, f"{path}=7").stages[0].config == Grow(epochs=7)


def test_values_are_yaml() -> None:
    recipe = read(
        ONE,
        "stages.grow.sizes=[4, 5]",
        "stages.grow.keep={a.b: 0.5}",
        "stages.grow.lr=1e-3",
        "stages.grow.gate=false",
        "stages.grow.shape=null",
        'name="007"',
        "output=a=b",
    )
    assert recipe.stages[0].config == Grow(sizes=(4, 5), keep={"a.b": 0.5}, lr=0.001, gate=False)
    assert (recipe.name, recipe.output) == ("007", "a=b")


def test_mappings_on_the_way_are_made() -> None:
    assert read(ONE, "stages.grow.inner.width=9").stages[0].config == Grow(inner=Inner(9))
    assert read(ONE, "data.source=here", "model.args.a.b=1").model.args == {"a": {"b": 1}}


def test_a_section_in_its_short_form_takes_more_keys() -> None:
    assert read(ONE, "model.weights_key=ema").model.checkpoint == "a.pt"
    assert read(ONE, "model=b.pt").model.checkpoint == "b.pt"
    assert read(ONE, "model=b.pt", "model.weights_key=ema").model.checkpoint == "b.pt"


def test_a_whole_stage_can_be_replaced() -> None:
    assert read(BASE, "stages[2]={cut: {by: 2}}").stages[2].config == Cut(2.0)
    assert read(BASE, "stages=[grow]").stages[0].config == Grow()


def test_the_later_override_wins() -> None:
    assert read(ONE, "seed=1", "seed=2").seed == 2


def test_an_override_takes_part_in_variables() -> None:
    assert read(BASE, "vars.epochs=9").stages[0].config == Grow(epochs=9)
    assert read(BASE, "vars.n=3", "stages.cut.by=${n}").stages[1].config == Cut(3.0)
    assert read(BASE, "stages[0].grow.epochs=1", "vars.epochs=9").stages[0].config == Grow(epochs=1)


def test_an_override_of_a_variable_wins_over_variants() -> None:
    text = BASE + "variants: {a: {epochs: 6}, b: {}}\n"
    assert [v.stages[0].config for v in read(text).variants.values()] == [Grow(epochs=6), Grow(epochs=5)]
    assert [v.stages[0].config for v in read(text, "vars.epochs=9").variants.values()] == [Grow(epochs=9)] * 2
    assert read(text, "variants.a.epochs=8").variants["a"].stages[0].config == Grow(epochs=8)


@pytest.mark.parametrize(
    ("override", "path", "message", "suggestion"),
    [
        (
            "stages.grow.epochs=3",
            "stages.grow.epochs",
            "there are 2 stages grow; write stages[0].grow or stages[2].grow",
            "",
        ),
        (
            "stages.cutt.by=3",
            "stages.cutt.by",
            "there is no stage cutt; write one of stages[0].grow, stages[1].cut, stages[2].grow",
            "stages.cut",
        ),
        ("stages[3].grow.epochs=3", "stages[3].grow.epochs", "stages has 3 items, from stages[0] on", ""),
        ("extends=int8-ptq", "extends", "what a recipe extends stands in its file", ""),
        ("seed.x=3", "seed.x", "seed is not a mapping, so it has no x", ""),
        ("model[0]=3", "model[0]", "model is not a list, so [0] leads nowhere", ""),
        (
            "model.args.l.x=3",
            "model.args.l.x",
            "model.args.l is a list; say which of its items, from model.args.l[0] to model.args.l[1]",
            "",
        ),
        (
            "seed=[1",
            "seed",
            "is not YAML: while parsing a flow sequence; expected ',' or ']', but got '<stream end>'",
            "",
        ),
        ("seed=!x 1", "seed", "must not have a tag (!x); write the value alone", ""),
    ],
)
def test_what_fits_nowhere(override: str, path: str, message: str, suggestion: str) -> None:
    text = BASE.replace("model: a.pt", "model: {checkpoint: a.pt, args: {l: [1, 2]}}") + "seed: 1\n"
    assert faults_of(text, override) == (Fault(f"--set {override}", 0, path, "", message, suggestion),)


@pytest.mark.parametrize(
    "override", ["seed", "=3", ".seed=3", "a..b=3", "stages[x]=3", "[0]=3", "a[1=3", "a.[1]=3", "a]=3", ""]
)
def test_what_is_no_override(override: str) -> None:
    message = "must be PATH=VALUE, such as seed=3, stages.quantize.epochs=3 or stages[1].quantize.epochs=3"
    assert faults_of(ONE, override) == (Fault(f"--set {override}", 0, "", "", message),)


def test_a_recipe_without_stages_has_none_to_change() -> None:
    first, second = faults_of("version: 1\nmodel: a.pt\n", "stages.grow.epochs=3")
    assert first == Fault("--set stages.grow.epochs=3", 0, "stages.grow.epochs", "", "the recipe has no stages")
    assert second.path == "stages"


def test_a_wrong_value_is_told_at_the_override() -> None:
    expected = Fault("--set seed=x", 0, "seed", '"x"', "must be an integer from 0 to 4294967295")
    assert faults_of(BASE, "seed=x") == (expected,)


def test_an_unknown_key_is_told_at_the_override() -> None:
    (fault,) = faults_of(ONE, "sead=3")
    assert (fault.file, fault.path, fault.value, fault.suggestion) == ("--set sead=3", "sead", "3", "seed")


def test_all_overrides_are_told_at_once() -> None:
    assert [fault.file for fault in faults_of(BASE, "seed=x", "nothing", "stages[9]=1", "threads=0")] == [
        "--set nothing",
        "--set seed=x",
        "--set stages[9]=1",
        "--set threads=0",
    ]
