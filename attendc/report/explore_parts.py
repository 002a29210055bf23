"""The picture of what the inquisitor learned: the effect of each choice on U, and how sure it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from attendc.report.axes import Axis, Frame, around, draw_frame, ticks
from attendc.report.explore_words import choice_words
from attendc.report.svg import Drawing, shorten

__all__ = ["draw_parts", "largest", "part_words"]

_MOST = 20
_ROW = 19
_NAMES, _LONGEST = 168, 26


def part_words(part: Mapping[str, Any]) -> str:
    """Return dimension and choice."""
    return f"{part['dimension']} {choice_words(part['choice'])}"


def largest(parts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the parts whose effects are the largest in either direction, the best first.

    What was never tried is left out, and what the space has no other choice for.
    """
    choices = Counter(p["dimension"] for p in parts)
    known = [p for p in parts if p["tried"] and choices[p["dimension"]] > 1]
    return sorted(sorted(known, key=lambda p: -abs(p["effect"]))[:_MOST], key=lambda p: -p["effect"])


def draw_parts(parts: Sequence[Mapping[str, Any]], width: int, kind: str) -> Markup:
    """Draw a row for each part: its effect on U, a line of one error to both sides, and what is 0.

    A part whose effect is larger than its error points up or down; the others are round.

    Args:
        parts: one at least, in the order of the rows.
        width: of the picture.
        kind: class of the picture: `wide` or `narrow`.
    """
    said = "; ".join(f"{part_words(p)} {p['effect']:+.2f}" for p in parts)
    bottom = 30 + _ROW * len(parts)
    drawing = Drawing(width, bottom + 42, f"Effect of parts on U, in dB: {said}", kind=kind)
    ends = [end for p in parts for end in (p["effect"] - p["error"], p["effect"] + p["error"])]
    span = around([*ends, 0.0], room=0.04, least=0.2)
    across = Axis("effect on U, dB", span, ticks(*span, max(3, (width - _NAMES) // 70)), lambda v: f"{v:g}")
    frame = Frame(_NAMES, 24, width - 14, bottom, across, Axis("", (0, len(parts)), (), str))
    draw_frame(drawing, frame)
    drawing.line((frame.x(0), frame.top), (frame.x(0), frame.bottom), "dashed")
    for k, part in enumerate(parts):
        _draw_part(drawing, frame, part, frame.top + _ROW * (k + 0.5))
    return drawing.markup()


def _draw_part(drawing: Drawing, frame: Frame, part: Mapping[str, Any], y: float) -> None:
    effect, error = part["effect"], part["error"]
    drawing.text((_NAMES - 8, y + 4), shorten(part_words(part), _LONGEST), anchor="end", kind="label")
    drawing.line((frame.x(effect - error), y), (frame.x(effect + error), y), "axis")
    sure = abs(effect) > error
    shape, colour = (
        ("circle", "mark c5") if not sure else ("triangle", "mark c2") if effect > 0 else ("down", "mark c4")
    )
    told = f"{part_words(part)}: {effect:+.2f} \N{PLUS-MINUS SIGN} {error:.2f} dB, tried {part['tried']} times"
    drawing.marker(shape, (frame.x(effect), y), 4.5, colour, told)
