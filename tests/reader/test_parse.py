"""From YAML to nodes: what is read, and what is refused at which line."""

from __future__ import annotations

import time

import pytest
from small_stages import faults_of

from attendc.reader.faults import Fault, Place
from attendc.reader.nodes import BAD, Node, mapping, plain
from attendc.reader.parse import DEEPEST, LARGEST, parse, parse_flow


def parsed(text: str) -> tuple[Node | None, list[Fault]]:
    faults: list[Fault] = []
    return parse(text, "r.yaml", faults), faults


def test_every_value_knows_its_line() -> None:
    top, faults = parsed("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n")
    assert faults == []
    assert top is not None
    assert plain(top) == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    held = mapping(top)
    assert held["a"].place == Place("r.yaml", 1)
    assert held["b"].place == Place("r.yaml", 2)  # a list has the line of its key
    items = held["b"].value
    assert isinstance(items, tuple)
    assert [item.place.line for item in items] == [3, 4]
    assert mapping(items[1])["d"].place.line == 5


def test_quoted_words_are_text_and_keys_always_are() -> None:
    top, _ = parsed('"a": \'3\'\n1: "true"\nnull: 2\n')
    assert top is not None
    assert plain(top) == {"a": "3", "1": "true", "null": 2}


@pytest.mark.parametrize(
    ("text", "line", "path", "message"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "b", "must not have a tag "),
        ("a: !!str 1", 1, "a", "must not have a tag (tag:yaml.org,2002:str); write the value alone"),
        ("a: [1, !x {b: 2}]", 1, "a[1]", "must not have a tag (!x); write the value alone"),
        ("!x a: 1", 1, "", "must not have a tag (!x); write the value alone"),
        ("a: &x 1", 1, "a", "must not have an anchor (&x); use vars and ${...}"),
        ("a: 1\nb: *x", 2, "b", "must not be an alias (*x); use vars and ${...}"),
        ("a: {b: 1}\na: 2", 2, "a", "stands here a second time, first in line 1; write it once"),
        ("x:\n  a: 1\n  b: 2\n  a: 1", 4, "x.a", "stands here a second time, first in line 2; write it once"),
        ("? [a]\n: 1", 1, "", "must have keys that are words, not lists or mappings"),
        ("a: 1\n---\nb: 2", 3, "", "must be one document: take out the --- and what follows"),
        ('a: "\\0"', 1, "a", "must be text without zero bytes and halves of surrogate pairs"),
        ('a: "\\uD800"', 1, "a", "must be text without zero bytes and halves of surrogate pairs"),
        ('"\\0": 1', 1, "", "a key must be text without zero bytes and halves of surrogate pairs"),
        ("a:\n\n  .nan", 3, "a", "must be a finite number"),
        ("a: [1", 1, "", "is not YAML: while parsing a flow sequence; expected ',' or ']', but got '<stream end>'"),
        (
            "a: {b: ${c}}",
            1,
            "",
            (
                "is not YAML: while parsing a flow mapping; expected ',' or '}', but got '{'; "
                'inside { } and [ ], "${name}" stands in quotes'
            ),
        ),
        ("a: 1\n  b: 2", 2, "", "is not YAML: mapping values are not allowed here"),
        ("a:\n\tb: 2", 2, "", "is not YAML: while scanning for the next token; found character "),
        ("a: 1\n\x07", 2, "", "is not YAML: the character U+0007 is not allowed"),
        ("[" * 50, 1, "[0]" * 41, "must not be more than 40 lists and mappings deep"),
    ],
)
def test_what_is_refused(text: str, line: int, path: str, message: str) -> None:
    _, faults = parsed(text)
    assert len(faults) == 1, faults
    assert (faults[0].file, faults[0].line, faults[0].path) == ("r.yaml", line, path)
    assert faults[0].message.startswith(message)


def test_faults_of_structure_do_not_hide_each_other() -> None:
    top, faults = parsed("a: !x 1\nb: &y 2\nb: 3\nc: .inf\nd: 4\ne: !x [1]\nf: !x {a: 1}\n")
    assert [(fault.line, fault.path) for fault in faults] == [
        (1, "a"),
        (2, "b"),
        (3, "b"),
        (4, "c"),
        (6, "e"),
        (7, "f"),
    ]
    assert top is not None
    assert all(mapping(top)[key].value is BAD for key in "abcef")
    assert mapping(top)["d"].value == 4


def test_nothing_more_is_said_about_a_value_that_was_refused() -> None:
    faults = faults_of("version: 1\nmodel: a.pt\nseed: !x q\nstages: [{grow: {epochs: &x 0, inner: [*x]}}]")
    assert [(fault.path, fault.message.split(" (")[0]) for fault in faults] == [
        ("seed", "must not have a tag"),
        ("stages[0].grow.epochs", "must not have an anchor"),
        ("stages[0].grow.inner[0]", "must not be an alias"),
    ]


def test_depth_is_allowed_up_to_its_limit() -> None:
    assert parsed("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))[1] == []


@pytest.mark.parametrize(
    "text",
    [
        "[" * LARGEST,
        "{a: " * (LARGEST // 4),
        "- " * (LARGEST // 2),
        "a:\n" + "".join(" " * i + "- \n" for i in range(400)),
        "x" * LARGEST,
        "? " * (LARGEST // 2),
        "a: &a [x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n" * 100,
        "- [a, b]\n" * (LARGEST // 9),
        '"' + "\\x41" * (LARGEST // 5),
        "a: 1\n" * (LARGEST // 5),
        "#" * LARGEST,
        "\n" * LARGEST,
        "a: " + "9" * (LARGEST - 3),
    ],
    ids=range(13),
)
def test_a_bomb_is_read_or_refused_soon(text: str) -> None:
    start = time.perf_counter()
    parsed(text)
    assert time.perf_counter() - start < 30


def test_a_text_that_is_too_long_is_not_read_at_all() -> None:
    _, faults = parsed("a" * (LARGEST + 1))
    assert faults == [Fault("r.yaml", 0, "", "", "must be at most 131072 characters long, not 131073")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        ("", None),
        ("[1, x]", [1, "x"]),
        ("{a: 1}", {"a": 1}),
        ('"3"', "3"),
        ("a: b", "a: b"),
        ("- a", "- a"),
        ("C:\\x", "C:\\x"),
        ("tflite,onnx", "tflite,onnx"),
    ],
)
def test_a_value_in_one_line(text: str, expected: object) -> None:
    faults: list[Fault] = []
    node = parse_flow(text, Place("--set"), "a", faults)
    assert faults == []
    assert node is not None
    assert plain(node) == expected
