"""What an unquoted word of YAML means, by the core schema of YAML 1.2.

PyYAML follows YAML 1.1, in which `on` is true, `1e-3` is text, `1:30` is ninety and `2024-01-01` is a date.
"""

from __future__ import annotations

import math
import re

from attendc.reader.nodes import Scalar

__all__ = ["check_text", "from_word"]

_WORDS: dict[str, Scalar] = {"": None, "~": None}
_WORDS |= dict.fromkeys(("null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE"), False)
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_NUMBER = 300


def from_word(word: str) -> Scalar:
    """Return what `word` means.

    Raises:
        ValueError: with what is allowed, for a number that is not finite or has hundreds of digits, and as
            `check_text`.
    """
    if word in _WORDS:
        return _WORDS[word]
    if _NOT_FINITE.fullmatch(word):
        raise ValueError("must be a finite number")
    is_integer = _DECIMAL.fullmatch(word) or _BASED.fullmatch(word)
    if not is_integer and not _FLOAT.fullmatch(word):
        return check_text(word)
    if len(word) > _LONGEST_NUMBER:
        raise ValueError(f"must be a number of at most {_LONGEST_NUMBER} digits, or text in quotes")
    if is_integer:
        return int(word, 10 if _DECIMAL.fullmatch(word) else 0)
    number = float(word)
    if math.isinf(number):
        raise ValueError("must be a finite number")
    return number


def check_text(text: str) -> str:
    """Return `text`.

    Raises:
        ValueError: if no file or command could take it: a zero byte, or half of a surrogate pair.
    """
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("must be text without zero bytes and halves of surrogate pairs")
    return text
