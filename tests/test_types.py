"""The data that flows between steps."""

from __future__ import annotations

import dataclasses

import pytest
from nets import PREPROCESS, SPEC

from attendc.types import Architecture


def test_a_step_adds_one_entry_to_a_copy_of_the_history() -> None:
    once = SPEC.after(step="train")
    twice = once.after(step="prune", ratio=0.5)
    assert twice.history == ({"step": "train"}, {"step": "prune", "ratio": 0.5})
    assert once.history == ({"step": "train"},)
    assert SPEC.history == ()


def test_there_are_as_many_classes_as_labels() -> None:
    assert SPEC.classes == 10


def test_the_input_shape_is_channels_height_width() -> None:
    tall = dataclasses.replace(PREPROCESS, height=32, width=16, channels=3)
    assert tall.input_shape == (3, 32, 16)


@pytest.mark.parametrize(("factory", "foreign"), [("attendnext", False), ("my.nets:small", True)])
def test_a_factory_with_a_colon_is_foreign(factory: str, *, foreign: bool) -> None:
    assert Architecture(factory).is_foreign is foreign


def test_a_spec_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="labels"):
        SPEC.labels = ("x",)  # type: ignore[misc]
