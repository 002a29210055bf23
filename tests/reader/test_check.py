"""What is said about a value that a config does not take: for every kind of field, exactly."""

from __future__ import annotations

import pytest
from small_stages import Cut, Grow, faults_of, read

from attendc.reader.faults import Fault

KNOWN = "no such key; known are mode, bits, epochs, lr, calib, budget, sizes, shape, keep, inner, gate"


def recipe(options: str) -> str:
    return f"version: 1\nmodel: a.pt\nstages:\n  - grow: {options}\n"


@pytest.mark.parametrize(
    ("options", "path", "value", "message", "suggestion"),
    [
        # one of some words, one number
        ("{mode: fsat}", "mode", '"fsat"', "must be one of slow, fast", "fast"),
        ("{mode: 3}", "mode", "3", "must be one of slow, fast", ""),
        ("{mode: [slow]}", "mode", '["slow"]', "must be one of slow, fast", ""),
        ("{mode: null}", "mode", "null", "must be one of slow, fast", ""),
        ("{bits: 4}", "bits", "4", "must be 8", ""),
        ("{bits: 8.0}", "bits", "8.0", "must be 8", ""),
        ("{bits: '8'}", "bits", '"8"', "must be 8", "8"),
        # numbers
        ("{epochs: 0}", "epochs", "0", "must be an integer from 1 on", ""),
        ("{epochs: '2'}", "epochs", '"2"', "must be an integer from 1 on", "2"),
        ("{epochs: two}", "epochs", '"two"', "must be an integer from 1 on", ""),
        ("{epochs: 2.0}", "epochs", "2.0", "must be an integer from 1 on", ""),
        ("{epochs: true}", "epochs", "true", "must be an integer from 1 on", ""),
        ("{epochs: null}", "epochs", "null", "must be an integer from 1 on", ""),
        ("{lr: 0}", "lr", "0", "must be a number above 0 and below 1", ""),
        ("{lr: 1.0}", "lr", "1.0", "must be a number above 0 and below 1", ""),
        ("{lr: '1e-3'}", "lr", '"1e-3"', "must be a number above 0 and below 1", "1e-3"),
        # a union is one fault
        ("{calib: 0}", "calib", "0", "must be an integer from 1 on or random", ""),
        ("{calib: randon}", "calib", '"randon"', "must be an integer from 1 on or random", "random"),
        ("{calib: []}", "calib", "[]", "must be an integer from 1 on or random", ""),
        ("{budget: [1]}", "budget", "[1]", "must be text, a number, an integer or null", ""),
        ("{budget: {a: 1}}", "budget", '{"a": 1}', "must be text, a number, an integer or null", ""),
        # lists and mappings: the item that is wrong
        ("{sizes: 3}", "sizes", "3", "must be a list, each an integer from 1 on", ""),
        ("{sizes: [1, 0]}", "sizes[1]", "0", "must be an integer from 1 on", ""),
        ("{sizes: [1, x]}", "sizes[1]", '"x"', "must be an integer from 1 on", ""),
        ("{shape: [1]}", "shape", "[1]", "must be a list of 2, each an integer or null", ""),
        ("{shape: [1, 2, 3]}", "shape", "[1, 2, 3]", "must be a list of 2, each an integer or null", ""),
        ("{shape: [1, x]}", "shape[1]", '"x"', "must be an integer", ""),
        ("{keep: [1]}", "keep", "[1]", "must be a mapping, each value a number from 0 to 1", ""),
        ("{keep: {a: 2}}", "keep.a", "2", "must be a number from 0 to 1", ""),
        ("{keep: {a.b: x}}", "keep.a.b", '"x"', "must be a number from 0 to 1", ""),
        ("{inner: 3}", "inner", "3", "must be a mapping", ""),
        ("{inner: {width: x}}", "inner.width", '"x"', "must be an integer", ""),
        ("{inner: {wdith: 3}}", "inner.wdith", "3", "no such key; known are width", "width"),
        # true or false
        ("{gate: yes}", "gate", '"yes"', "must be true or false", "true"),
        ("{gate: Off}", "gate", '"Off"', "must be true or false", "false"),
        ("{gate: 'true'}", "gate", '"true"', "must be true or false", "true"),
        ("{gate: 1}", "gate", "1", "must be true or false", ""),
        # keys
        ("{epocs: 3}", "epocs", "3", KNOWN, "epochs"),
        ("{zebra: {a: 1}}", "zebra", '{"a": 1}', KNOWN, ""),
        ("{'': 1}", "", "1", KNOWN, ""),
    ],
)
def test_a_wrong_value_is_one_fault_with_what_is_allowed(
    options: str, path: str, value: str, message: str, suggestion: str
) -> None:
    expected = Fault("r.yaml", 4, f"stages[0].grow.{path}", value, message, suggestion)
    assert faults_of(recipe(options)) == (expected,)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", Grow()),
        ("{}", Grow()),
        ("{lr: 1e-3}", Grow(lr=0.001)),
        ("{calib: random}", Grow(calib="random")),
        ("{calib: 3}", Grow(calib=3)),
        ("{budget: 6M}", Grow(budget="6M")),
        ("{budget: 0.5}", Grow(budget=0.5)),
        ("{budget: 500}", Grow(budget=500)),
        ("{sizes: []}", Grow(sizes=())),
        ("{shape: [3, 4]}", Grow(shape=(3, 4))),
        ("{shape: null}", Grow()),
        ("{keep: {a.b: 1}}", Grow(keep={"a.b": 1.0})),
    ],
)
def test_a_right_value_is_taken(options: str, expected: Grow) -> None:
    config = read(recipe(options)).stages[0].config
    assert config == expected
    assert repr(config) == repr(expected)  # 1 and 1.0 are equal but not the same


def test_several_faults_of_one_config_are_told_together() -> None:
    faults = faults_of("version: 1\nmodel: a.pt\nstages:\n- grow:\n    bits: 4\n    sizes: [0,\n      x]\n    lr: q\n")
    assert [(fault.line, fault.path) for fault in faults] == [
        (5, "stages[0].grow.bits"),
        (6, "stages[0].grow.sizes[0]"),
        (7, "stages[0].grow.sizes[1]"),
        (8, "stages[0].grow.lr"),
    ]


def test_a_field_without_default_that_is_missing() -> None:
    expected = Fault("r.yaml", 4, "stages[0].cut.by", "", "is missing; it must be a number")
    assert faults_of("version: 1\nmodel: a.pt\nstages:\n- cut: {of: all}\n") == (expected,)
    assert faults_of("version: 1\nmodel: a.pt\nstages:\n- cut\n") == (expected,)


def test_a_field_that_was_refused_already_is_not_missing_too() -> None:
    (fault,) = faults_of("version: 1\nmodel: a.pt\nstages:\n- cut: {by: !x 3}\n")
    assert fault.message == "must not have a tag (!x); write the value alone"


def test_text_that_was_written_as_a_number() -> None:
    expected = Fault("r.yaml", 4, "stages[0].cut.of", "3", "must be text", '"3"')
    assert faults_of("version: 1\nmodel: a.pt\nstages:\n- cut: {by: 1, of: 3}\n") == (expected,)


def test_what_a_config_says_of_itself_is_a_fault_of_the_stage() -> None:
    message = "there is nothing to cut from nothing"
    expected = Fault("r.yaml", 4, "stages[0].cut", '{"by": 1, "of": "nothing"}', message)
    assert faults_of("version: 1\nmodel: a.pt\nstages:\n- cut: {by: 1, of: nothing}\n") == (expected,)
    assert read("version: 1\nmodel: a.pt\nstages:\n- cut: {by: 0, of: nothing}\n").stages[0].config == Cut(0, "nothing")


def test_a_rule_of_a_config_is_not_told_of_a_value_that_was_refused() -> None:
    (fault,) = faults_of("version: 1\nmodel: a.pt\nstages:\n- twice: {count: !x 2}\n")
    assert fault.path == "stages[0].twice.count"
    expected = Fault("r.yaml", 4, "stages[0].twice", '{"count": 1}', "count must be even. Take 2")
    assert faults_of("version: 1\nmodel: a.pt\nstages:\n- twice: {count: 1}\n") == (expected,)
