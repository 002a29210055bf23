"""Drawings as inline SVG: words stay words, colours come from the page, the same drawing gives the same bytes.

No attribute `style` is written, so that a page may forbid inline styles; classes are defined in style.css.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

__all__ = ["CHARACTER", "MARKERS", "Drawing", "number", "shorten"]

CHARACTER = 0.56
"""Width of a mean character, in parts of the size of the font."""

MARKERS = ("circle", "square", "triangle", "diamond", "cross", "down")
"""Shapes that are told apart without colour; each has a path of radius 1 below."""

_PATHS = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.1), (1.05, 0.8), (-1.05, 0.8)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "down": ((0, 1.1), (1.05, -0.8), (-1.05, -0.8)),
    "cross": (
        *((-1.1, -0.6), (-0.6, -1.1), (0, -0.5), (0.6, -1.1), (1.1, -0.6), (0.5, 0)),
        *((1.1, 0.6), (0.6, 1.1), (0, 0.5), (-0.6, 1.1), (-1.1, 0.6), (-0.5, 0)),
    ),
}

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Source: Extensible Markup Language 1.0, section 2.2: what may stand in no file, not even escaped."""


def number(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def shorten(words: str, most: int) -> str:
    """Return the words, or the end of them where they are too long: the end of a layer's name tells most."""
    return words if len(words) <= most else "\N{HORIZONTAL ELLIPSIS}" + words[1 - most :]


class Drawing:
    """An <svg> that grows: each method adds one element, in units of its viewBox."""

    def __init__(self, width: float, height: float, title: str, *, kind: str = "") -> None:
        """`title` says in words what the picture shows: screen readers tell it in place of the picture."""
        self.width, self.height = width, height
        self._title, self._kind = title, kind
        self._parts: list[Markup] = []

    def markup(self) -> Markup:
        """Return the whole element."""
        head = Markup(
            '<svg class="picture {kind}" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}" '
            'aria-label="{title}"><title>{title}</title>'
        ).format(kind=self._kind, w=number(self.width), h=number(self.height), title=self._title)
        return Markup("").join([head, *self._parts, Markup("</svg>")])

    def page(self, style: str) -> Markup:
        """Return the whole as a file of its own, with the style sheet that it carries."""
        root, _, rest = str(self.markup()).removeprefix("<svg ").partition(">")
        opened = f'<svg xmlns="http://www.w3.org/2000/svg" {root}><style>{style}</style>'
        return Markup(_NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", opened + rest) + "\n")

    def text(
        self, at: tuple[float, float], words: str, *, anchor: str = "start", kind: str = "", turned: bool = False
    ) -> None:
        """Write words with their baseline at a point; `turned` runs upwards."""
        x, y = number(at[0]), number(at[1])
        turn = Markup(' transform="rotate(-90 {} {})"').format(x, y) if turned else ""
        self._add('<text x="{}" y="{}" text-anchor="{}" class="{}"{}>{}</text>', x, y, anchor, kind, turn, words)

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        """Draw one straight line."""
        ends = (number(v) for v in (*start, *end))
        self._add('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>', *ends, kind)

    def path(self, points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False) -> None:
        """Draw straight lines through the points."""
        if points:
            steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
            self._add('<path d="M{}{}" class="{}"/>', steps, "Z" if closed else "", kind)

    def wire(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Draw a line that leaves and reaches each point upright, and bends between two that are not in one column."""
        (x, y), *others = points
        steps = [f"M{number(x)} {number(y)}"]
        for to_x, to_y in others:
            middle = number((y + to_y) / 2)
            bend = f"C{number(x)} {middle} {number(to_x)} {middle} {number(to_x)} {number(to_y)}"
            steps.append(f"V{number(to_y)}" if to_x == x else bend)
            x, y = to_x, to_y
        self._add('<path d="{}" class="{}"/>', "".join(steps), kind)

    def dots(self, points: Sequence[tuple[float, float]], radius: float, kind: str) -> None:
        """Draw many round dots as one path: hundreds of channels take a tenth of the bytes of circles."""
        steps = "".join(f"M{number(x)} {number(y)}h0" for x, y in points)
        self._add('<path d="{}" stroke-width="{}" class="dots {}"/>', steps, number(2 * radius), kind)

    def card(self, corner: tuple[float, float], size: tuple[float, float], kind: str, title: str) -> None:
        """Draw a rectangle with round corners; `title` shows when a mouse rests on it."""
        sides = (number(v) for v in (*corner, *size))
        self._add(
            '<rect x="{}" y="{}" width="{}" height="{}" rx="4" class="{}"><title>{}</title></rect>', *sides, kind, title
        )

    def box(self, corner: tuple[float, float], size: tuple[float, float], kind: str, *, shade: float = 1.0) -> None:
        """Fill a rectangle; `shade` (0..1) is how much of its colour covers the ground."""
        sides = (number(v) for v in (*corner, *size))
        self._add(
            '<rect x="{}" y="{}" width="{}" height="{}" class="{}" fill-opacity="{}"/>', *sides, kind, number(shade)
        )

    def marker(self, shape: str, at: tuple[float, float], radius: float, kind: str, title: str = "") -> None:
        """Draw one of MARKERS; `title` shows when a mouse rests on it."""
        told = Markup("<title>{}</title>").format(title) if title else ""
        if shape == "circle":
            place = (number(at[0]), number(at[1]), number(radius))
            self._add('<circle cx="{}" cy="{}" r="{}" class="{}">{}</circle>', *place, kind, told)
            return
        steps = "L".join(f"{number(at[0] + radius * x)} {number(at[1] + radius * y)}" for x, y in _PATHS[shape])
        self._add('<path d="M{}Z" class="{}">{}</path>', steps, kind, told)

    def _add(self, pattern: str, *values: object) -> None:
        self._parts.append(Markup(pattern).format(*values))  # which escapes them
