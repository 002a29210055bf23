"""`${name}` and `${env:NAME}`: types, text, escapes, and what is said where there is no value."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, strategies as st
from small_stages import Cut, Grow, faults_of, read

from attendc.reader.faults import Fault
from attendc.reader.variables import escaped


def args_of(variables: str, args: str, **environment: str) -> object:
    text = f"version: 1\nvars: {variables}\nmodel: {{checkpoint: a.pt, args: {{x: {args}}}}}\nstages: [grow]\n"
    return read(text, environment=environment).model.args["x"]


@pytest.mark.parametrize(
    ("variables", "args", "expected"),
    [
        ("{a: 3}", '"${a}"', 3),
        ("{a: 0.5}", '"${a}"', 0.5),
        ("{a: true}", '"${a}"', True),
        ("{a: null}", '"${a}"', None),
        ('{a: "3"}', '"${a}"', "3"),
        ("{a: [1, {b: 2}]}", '"${a}"', [1, {"b": 2}]),
        ("{a: 3}", '"x${a}y${a}"', "x3y3"),
        ("{a: true}", '"x-${a}"', "x-true"),
        ("{a: 1e-3}", '"x-${a}"', "x-0.001"),
        ("{a: 3}", '["${a}", {k: "${a}"}]', [3, {"k": 3}]),
        ('{a: "${b}", b: "${c}/x", c: y}', '"${a}"', "y/x"),
        ('{a: ["${b}"], b: 2}', '"${a}"', [2]),
        ("{a-b_1: 3}", '"${a-b_1}"', 3),
        ("{a: 3}", '"$${a}"', "${a}"),
        ("{a: 3}", '"$$${a}"', "$${a}"),
        ("{a: 3}", '"$${${a}}"', "${3}"),
        ("{a: 3}", '"$a $ {a} $"', "$a $ {a} $"),
        ('{a: "$${b}"}', '"${a}"', "${b}"),
        ("{a: 3}", '{"${a}": 1}', {"${a}": 1}),  # keys stay
    ],
)
def test_what_a_reference_becomes(variables: str, args: str, expected: object) -> None:
    value = args_of(variables, args)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ('"${env:N}"', 3),
        ('"${env:B}"', True),
        ('"${env:T}"', "a b"),
        ('"${env:L}"', "[1, 2]"),
        ('"${env:R}"', "${N}"),  # what comes from outside is not looked into
        ('"x${env:N}"', "x3"),
        ('"x${env:B}"', "xTRUE"),
    ],
)
def test_the_environment_is_text_unless_it_stands_alone(args: str, expected: object) -> None:
    value = args_of("{}", args, N="3", B="TRUE", T="a b", L="[1, 2]", R="${N}")
    assert value == expected
    assert type(value) is type(expected)


def test_sections_and_stages_may_be_variables() -> None:
    text = 'version: 1\nvars: {m: a.pt, s: [grow, {cut: {by: 2}}], g: {by: 3}}\nmodel: "${m}"\nstages: '
    assert [entry.config for entry in read(text + '"${s}"').stages] == [Grow(), Cut(2.0)]
    assert read(text + '[{cut: "${g}"}]').stages[0].config == Cut(3.0)
    assert read(text + '[{cut: "${g}"}]').model.checkpoint == "a.pt"


TOP = "version: 1\nmodel: a.pt\nstages: [grow]\n"


@pytest.mark.parametrize(
    ("text", "line", "path", "value", "message", "suggestion"),
    [
        ('name: "${b}"', 5, "name", '"${b}"', "no such variable b; in vars are epochs", ""),
        ('output: "x${epoch}"', 5, "output", '"x${epoch}"', "no such variable epoch; in vars are epochs", "${epochs}"),
        (
            'output: "${env:NO}"',
            5,
            "output",
            '"${env:NO}"',
            "the environment has no NO; set it, or write the value",
            "",
        ),
        (
            'output: "${env:BAD}"',
            5,
            "output",
            '"${env:BAD}"',
            "${env:BAD} must be text without zero bytes and halves of surrogate pairs",
            "",
        ),
        (
            'output: "a${env:BAD}"',
            5,
            "output",
            '"a${env:BAD}"',
            "${env:BAD} must be text without zero bytes and halves of surrogate pairs",
            "",
        ),
        ('output: "${env:INF}"', 5, "output", '"${env:INF}"', "${env:INF} must be a finite number", ""),
        ('output: "${}"', 5, "output", '"${}"', "must be ${name} or ${env:NAME}; a literal ${ is written $${", ""),
        (
            'output: "${a.b}"',
            5,
            "output",
            '"${a.b}"',
            "must be ${name} or ${env:NAME}; a literal ${ is written $${",
            "",
        ),
        ('output: "x${"', 5, "output", '"x${"', "must be ${name} or ${env:NAME}; a literal ${ is written $${", ""),
        (
            'output: "${${epochs}}"',
            5,
            "output",
            '"${${epochs}}"',
            "must be ${name} or ${env:NAME}; a literal ${ is written $${",
            "",
        ),
    ],
)
def test_a_reference_without_a_value(
    text: str, line: int, path: str, value: str, message: str, suggestion: str
) -> None:
    found = faults_of(f"{TOP}vars: {{epochs: 1}}\n{text}", environment={"BAD": "\udcff", "INF": ".inf"})
    assert found == (Fault("r.yaml", line, path, value, message, suggestion),)


@pytest.mark.parametrize(
    ("variables", "path", "value", "message"),
    [
        ('{a: "${a}"}', "vars.a", '"${a}"', "must not lead back to itself: a -> a"),
        (
            '{a: "${b}", b: "x${c}", c: ["${a}"]}',
            "vars.c[0]",
            '"${a}"',
            "must not lead back to itself: a -> b -> c -> a",
        ),
        ('{a: "${no}"}', "vars.a", '"${no}"', "no such variable no; in vars are a"),
        ("{a b: 1}", "vars.a b", "1", "must have a name of letters, digits, _ and -"),
        ('{"": 1}', "vars.", "1", "must have a name of letters, digits, _ and -"),
        (
            '{a: [1], b: "x${a}"}',
            "vars.b",
            '"x${a}"',
            "${a} is a list or mapping, so it cannot stand inside text; write it alone",
        ),
        ('{a: null, b: "x${a}"}', "vars.b", '"x${a}"', "${a} is null, so it cannot stand inside text; write it alone"),
        ("[1]", "vars", "[1]", "must be a mapping: the name of each variable -> its value"),
    ],
)
def test_faults_of_variables_are_told_once_also_where_nobody_uses_them(
    variables: str, path: str, value: str, message: str
) -> None:
    assert faults_of(f"{TOP}vars: {variables}\n") == (Fault("r.yaml", 4, path, value, message),)


def test_a_value_from_a_variable_is_told_with_the_line_where_it_was_written() -> None:
    found = faults_of('version: 1\nvars:\n  epochs: two\nmodel: a.pt\nstages: [{grow: {epochs: "${epochs}"}}]')
    assert found == (Fault("r.yaml", 3, "stages[0].grow.epochs", '"two"', "must be an integer from 1 on"),)


DOUBLING = "".join(f'  v{i}: "${{v{i - 1}}}${{v{i - 1}}}"\n' for i in range(1, 35))
LISTS = "".join(
    f"  v{i}: [{', '.join([f'${{v{i - 1}}}'] * 50)}]\n".replace("$", '"$').replace("}", '}"') for i in range(1, 30)
)
NESTED = "".join(f'  v{i}: {"[" * 30}"${{v{i - 1}}}"{"]" * 30}\n' for i in range(1, 35))
AHEAD = "".join(f'  w{i}: {"[" * 30}"${{w{i + 1}}}"{"]" * 30}\n' for i in range(38)) + "  w38: 1\n"
CHAIN = "".join(f'  v{i}: "${{v{i + 1}}}"\n' for i in range(1, 500)) + "  v500: 1\n"


@pytest.mark.parametrize(
    "variables", [DOUBLING, LISTS, NESTED, AHEAD, CHAIN], ids=["doubling", "lists", "nested", "ahead", "chain"]
)
def test_variables_that_multiply_are_a_fault_and_soon(variables: str) -> None:
    start = time.perf_counter()
    found = faults_of(f"{TOP}vars:\n  v0: x\n{variables}")
    assert any("grows too large" in fault.message or "must not lead over more" in fault.message for fault in found)
    assert time.perf_counter() - start < 30


def test_one_large_value_of_the_environment_many_times_is_a_fault() -> None:
    text = TOP + "data: {source: x}\nvars: {a: [" + ", ".join(['"${env:BIG}"'] * 100) + "]}\n"
    (fault,) = faults_of(text, environment={"BIG": "x" * 100_000})
    assert (fault.path, fault.message.split(":")[0]) == ("vars.a", "grows too large with its variables")


@given(st.text(st.sampled_from("${}ab:"), max_size=12))
def test_escaped_text_reads_as_itself(text: str) -> None:
    assert read(f"{TOP}data: {{source: '{escaped(text)}'}}").data.source == text
