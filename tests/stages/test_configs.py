"""Every config tells its fields, has defaults, and says the same as the options it stands for."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from dataclasses import MISSING
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from attendc.compress.pruning.prune import PruneOptions
from attendc.compress.pruning.recover import RECOVER_OPTIONS
from attendc.errors import UsageError
from attendc.recipe import DataSection, ModelSection, TargetSection
from attendc.stages.loop import loop_fields, loop_options
from attendc.stages.mask_config import MaskConfig
from attendc.stages.prune import prune_config, prune_options
from attendc.stages.prune_config import PruneConfig
from attendc.stages.quantize_config import QuantizeConfig
from attendc.stages.registry import STAGES
from attendc.stages.train_config import TrainConfig
from attendc.train import TrainOptions

CONFIGS: list[Any] = [stage.config for stage in STAGES.values()]
SECTIONS: list[Any] = [ModelSection, DataSection, TargetSection]
LOOPS: list[Any] = [TrainConfig, PruneConfig, MaskConfig, QuantizeConfig]


def field_texts(config: Any) -> dict[str, str]:
    """Return field -> the docstring below it, from the source."""
    file = inspect.getsourcefile(config)
    assert file is not None
    body = next(
        node.body
        for node in ast.parse(Path(file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == config.__name__
    )
    return {
        field.target.id: below.value.value
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


@pytest.mark.parametrize("config", [*CONFIGS, *SECTIONS], ids=lambda c: c.__name__)
def test_every_field_has_a_default_and_a_docstring(config: Any) -> None:
    texts = field_texts(config)
    for field in dataclasses.fields(config):
        assert field.default is not MISSING or field.default_factory is not MISSING, field.name
        assert texts.get(field.name, "").endswith("."), field.name


@pytest.mark.parametrize("config", [*CONFIGS, *SECTIONS], ids=lambda c: c.__name__)
def test_configs_are_frozen_and_strict(config: Any) -> None:
    assert config.__dataclass_params__.frozen
    assert config.__pydantic_config__ == {"extra": "forbid", "use_attribute_docstrings": True, "strict": True}
    assert config() == config()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_a_function_of_four_and_a_sentence(name: str) -> None:
    stage = STAGES[name]
    run = import_module(stage.module).run
    assert list(inspect.signature(run).parameters) == ["config", "work", "folder", "context"]
    assert stage.help == stage.config.__doc__
    assert stage.help.strip().endswith(".")


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_reads_are_texts_that_are_empty_by_default(name: str) -> None:
    assert {getattr(STAGES[name].config(), field) for field in STAGES[name].reads} <= {""}


# The one training loop


def test_pruning_recovers_by_default_as_its_options_say() -> None:
    assert loop_options(PruneConfig()) == RECOVER_OPTIONS


def test_masks_recover_as_pruning_does() -> None:
    assert loop_options(MaskConfig()) == RECOVER_OPTIONS


def test_training_takes_the_options_of_the_loop() -> None:
    assert loop_options(TrainConfig()) == TrainOptions()


@pytest.mark.parametrize("config", LOOPS, ids=lambda c: c.__name__)
def test_a_config_holds_every_option_of_the_loop_or_leaves_its_default(config: Any) -> None:
    options = loop_options(config(epochs=7, lr=0.125, flip=False))
    assert (options.epochs, options.lr, options.flip) == (7, 0.125, False)
    fields = {field.name for field in dataclasses.fields(config)}
    lacking = {name: value for name, value in loop_fields(options).items() if name not in fields}
    assert lacking == {name: getattr(TrainOptions(), name) for name in lacking}
    assert lacking.keys() <= {"distill", "temperature"}
    assert loop_options(config(**{k: v for k, v in loop_fields(options).items() if k in fields})) == options


# Pruning: a config and the options of the pruner

PARTS = st.floats(0.01, 1).map(lambda x: round(x, 4))
PRUNINGS = st.builds(
    PruneOptions,
    unit=st.sampled_from(["macs", "params", "bytes"]),
    amount=st.one_of(PARTS.map(str), st.integers(1, 10**9).map(str), st.sampled_from(["50k", "6M", "50%"])),
    importance=st.sampled_from(["l1", "l2", "taylor", "bn", "activation"]),
    images=st.integers(1, 9999),
    keep=st.dictionaries(st.text(min_size=1), PARTS),
    guard=st.none() | st.lists(st.text()).map(tuple),
    steps=st.integers(1, 9),
    sensitivity=st.booleans(),
    recover=st.builds(TrainOptions, epochs=st.integers(0, 9), lr=PARTS, distill=PARTS, flip=st.booleans()),
)


@given(PRUNINGS)
@settings(max_examples=50)
def test_config_and_options_of_pruning_are_opposites(options: PruneOptions) -> None:
    assert prune_options(prune_config(options)) == options


@pytest.mark.parametrize(
    ("value", "amount"), [("0.5", "0.5"), (0.5, "0.5"), (6e6, "6000000"), (50000, "50000"), ("6M", "6M"), (1.0, "1")]
)
def test_amounts_of_a_recipe_mean_what_is_typed(value: str | float, amount: str) -> None:
    options = prune_options(PruneConfig(macs=value))
    assert (options.unit, options.amount) == ("macs", amount)


def test_no_recovery_is_recovery_of_no_epochs() -> None:
    options = prune_options(prune_config(PruneOptions("macs", "0.5", recover=None)))
    assert options.recover is not None
    assert options.recover.epochs == 0


def test_two_budgets_and_none_are_refused() -> None:
    with pytest.raises(UsageError, match="macs and bytes are two budgets"):
        prune_options(PruneConfig(macs=0.5, bytes="1k"))
    with pytest.raises(UsageError, match="nothing says how much"):
        prune_options(PruneConfig())
    with pytest.raises(UsageError, match="'weight'"):
        prune_config(PruneOptions("weight", "1"))


@pytest.mark.parametrize("config", [PruneConfig(keep={"a": 0.5}), PruneConfig(plan="plan.json")])
def test_without_a_budget_layers_or_a_plan_may_say_how_much(config: PruneConfig) -> None:
    assert prune_options(config).unit == ""
