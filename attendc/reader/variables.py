"""`${name}` and `${env:NAME}` in the strings of a document. Nothing is evaluated: a name is looked up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from attendc.reader.faults import Fault, closest, join
from attendc.reader.nodes import BAD, Bad, Node, Scalar, fault, is_sound
from attendc.reader.parse import DEEPEST
from attendc.reader.scalars import check_text, from_word

__all__ = ["LARGEST_RESULT", "REFERENCE", "Interpolation", "escaped"]

REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
"""`$${` is a literal `${`; a `${` alone is a fault."""

LARGEST_RESULT = 1_000_000
"""Values and characters that all variables together may grow to: ten variables can double each other a thousandfold."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WAYS = "must be ${name} or ${env:NAME}; a literal ${ is written $${"


class _TooMuchError(Exception):
    """Nothing more is filled in; the fault is told."""


class _NoValueError(Exception):
    """A name without a value: message and suggestion, both empty where it was told before."""

    def __init__(self, message: str = "", suggestion: str = "") -> None:
        super().__init__(message)
        self.message, self.suggestion = message, suggestion


@dataclass(frozen=True)
class _Filled:
    """A node without references, with how many values and characters it holds and how deep it is."""

    node: Node
    size: int = 1
    depth: int = 0


def escaped(text: str) -> str:
    """Return the text that reads as `text` where references are filled in."""
    return text.replace("${", "$${")


@dataclass
class Interpolation:
    """The variables of one document or variant.

    Attributes:
        variables: name -> its value as written.
        paths: name -> where in the document that is.
        environment: for `${env:NAME}`.
        is_whole: False where more variables may stand in a file that could not be read.
        faults: what is wrong.
    """

    variables: Mapping[str, Node]
    paths: Mapping[str, str]
    environment: Mapping[str, str]
    is_whole: bool = True
    faults: list[Fault] = field(default_factory=list)
    _done: dict[str, _Filled] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _written: int = 0
    _deep: int = 0

    def fill(self, top: dict[str, Node]) -> dict[str, Node]:
        """Return the document with every reference filled in; BAD where that cannot be."""
        try:
            for name, node in self.variables.items():
                if not _NAME.fullmatch(name):
                    self._add(node, self.paths[name], "must have a name of letters, digits, _ and -")
                elif name not in self._done:
                    self._variable(name)
            filled = [self._node(node, key) for key, node in top.items()]
            if filled:
                self._limit(sum(one.size for one in filled), 0, filled[0].node, "")
        except _TooMuchError:
            return {key: Node(BAD, node.place) for key, node in top.items()}
        return dict(zip(top, (one.node for one in filled), strict=True))

    def _node(self, node: Node, path: str) -> _Filled:
        if isinstance(node.value, str) and "${" in node.value:
            return self._text(node, node.value, path)
        if isinstance(node.value, tuple):
            parts = self._inside(node, enumerate(node.value), path)
            return self._together(Node(tuple(part.node for part in parts), node.place), parts, path)
        if isinstance(node.value, dict):
            parts = self._inside(node, node.value.items(), path)
            held = dict(zip(node.value, (part.node for part in parts), strict=True))
            return self._together(Node(held, node.place), parts, path)
        return _Filled(node, 1 + len(node.value) if isinstance(node.value, str) else 1)

    def _inside(self, node: Node, children: Iterable[tuple[str | int, Node]], path: str) -> list[_Filled]:
        self._deep += 1
        self._limit(0, self._deep, node, path)
        parts = [self._node(child, join(path, key)) for key, child in children]
        self._deep -= 1
        return parts

    def _together(self, node: Node, parts: list[_Filled], path: str) -> _Filled:
        size = 1 + sum(part.size for part in parts)
        depth = 1 + max((part.depth for part in parts), default=0)
        self._limit(size, depth, node, path)
        return _Filled(node, size, depth)

    def _text(self, node: Node, text: str, path: str) -> _Filled:
        try:
            whole = REFERENCE.fullmatch(text)
            if whole and whole[1] is not None:
                return self._lookup(whole[1], node)
            written = "".join(self._pieces(node, text, path))
        except _NoValueError as e:
            if e.message:
                self._add(node, path, e.message, e.suggestion)
            return _Filled(Node(BAD, node.place))
        return _Filled(Node(written, node.place), 1 + len(written))

    def _pieces(self, node: Node, text: str, path: str) -> Iterator[str]:
        at = 0
        for match in REFERENCE.finditer(text):
            piece = text[at : match.start()] + self._piece(node, match)
            self._written += len(piece)
            self._limit(self._written, 0, node, path)
            yield piece
            at = match.end()
        yield text[at:]

    def _piece(self, node: Node, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            raise _NoValueError(_WAYS)
        if match[1].startswith("env:"):
            return self._environment(match[1].removeprefix("env:"))
        found = self._lookup(match[1], node).node
        if not is_sound(found):
            raise _NoValueError
        value = found.value
        if value is None or isinstance(value, tuple | dict):
            kind = "null" if value is None else "a list or mapping"
            raise _NoValueError(f"{match[0]} is {kind}, so it cannot stand inside text; write it alone")
        return _written(value)

    def _lookup(self, name: str, node: Node) -> _Filled:
        """Return what a reference alone stands for, with its own type and place."""
        if name.startswith("env:"):
            try:
                word = self._environment(name.removeprefix("env:"))
                return _Filled(Node(from_word(word), node.place), 1 + len(word))
            except ValueError as e:
                raise _NoValueError(f"${{{name}}} {e}") from e
        if not _NAME.fullmatch(name):
            raise _NoValueError(_WAYS)
        if name in self.variables:
            return self._variable(name)
        if not self.is_whole:
            raise _NoValueError
        known = ", ".join(self.variables) or "none"
        near = closest(name, self.variables)
        raise _NoValueError(f"no such variable {name}; in vars are {known}", near and f"${{{near}}}")

    def _variable(self, name: str) -> _Filled:
        if name in self._done:
            return self._done[name]
        if name in self._open:
            ring = " -> ".join([*self._open[self._open.index(name) :], name])
            raise _NoValueError(f"must not lead back to itself: {ring}")
        if len(self._open) >= DEEPEST:
            raise _NoValueError(f"must not lead over more than {DEEPEST} variables")
        self._open.append(name)
        try:
            self._done[name] = self._node(self.variables[name], self.paths[name])
        finally:
            self._open.pop()
        return self._done[name]

    def _environment(self, name: str) -> str:
        if name not in self.environment:
            raise _NoValueError(f"the environment has no {name}; set it, or write the value", "")
        try:
            return check_text(self.environment[name])
        except ValueError as e:
            raise _NoValueError(f"${{env:{name}}} {e}") from e

    def _limit(self, size: int, depth: int, node: Node, path: str) -> None:
        if size > LARGEST_RESULT or depth > DEEPEST:
            self._too_much(node, path)

    def _too_much(self, node: Node, path: str) -> NoReturn:
        at = node.place
        message = f"grows too large with its variables: at most {LARGEST_RESULT} characters, {DEEPEST} lists deep"
        self.faults.append(Fault(at.file, at.line, path, "", message))
        raise _TooMuchError

    def _add(self, node: Node, path: str, message: str, suggestion: str = "") -> None:
        self.faults.append(fault(node, path, message, suggestion))


def _written(value: Scalar | Bad) -> str:
    """Return a value as it stands inside text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
