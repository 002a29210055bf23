"""Numbers as the page and the model card write them; what is None was not measured."""

from __future__ import annotations

from typing import Any

__all__ = [
    "MISSING",
    "change",
    "count",
    "decibels",
    "more",
    "percent",
    "points",
    "seconds",
    "short_bytes",
    "short_count",
    "yaml_text",
]

MISSING = "\N{EN DASH}"


def count(value: float | None) -> str:
    """Return 268720 as 268,720."""
    return MISSING if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """Return 0.946 as 94.60 %."""
    return MISSING if value is None else f"{100 * value:.2f} %"


def points(value: float | None) -> str:
    """Return a difference in points with its sign, and 0.00 without."""
    if value is None:
        return MISSING
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "\N{MINUS SIGN}")


def more(value: int | None) -> str:
    """Return a difference of amounts with its sign, and 0 without."""
    if value is None:
        return MISSING
    return f"{value:+,}".replace("-", "\N{MINUS SIGN}") if value else "0"


def change(value: float | None, whole: float | None) -> str:
    """Return how much more than the whole a value is, in percent with its sign: 66 of 100 as -34.0 %."""
    if value is None or not whole:
        return MISSING
    text = f"{100 * (value / whole - 1):+.1f}"
    return ("0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\N{MINUS SIGN}")) + " %"


def decibels(value: float | None) -> str:
    """Return 31.24 as 31.2 dB."""
    return MISSING if value is None else f"{value:.1f} dB"


def seconds(value: float | None) -> str:
    """Return 12.34 as 12.3 s, and 130 as 2 min 10 s."""
    if value is None:
        return MISSING
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def short_bytes(value: float) -> str:
    """Return 268720 as 269 kB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 999.5 * size else f"{value / size:.0f} {unit}"
    return f"{value:.0f} B"


def short_count(value: float) -> str:
    """Return 2654321 as 2.65 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 999.5 * size else f"{value / size:.0f} {unit}"
    return f"{value:.0f}"


def yaml_text(value: Any) -> str:
    """Return plain data as YAML, keys in their own order."""
    import yaml

    return str(yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True, width=100))


def _plain(value: Any) -> Any:
    """Return the value with every tuple as a list, and what YAML has no word for as text."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
