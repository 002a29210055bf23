"""What an unquoted word means: YAML 1.2, not 1.1."""

from __future__ import annotations

import pytest

from attendc.reader.scalars import check_text, from_word


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-2.5e+2", -250.0),
        # PyYAML alone would take these for something else
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("=", "="),
        ("<<", "<<"),
        # not quite numbers
        ("3M", "3M"),
        ("1e", "1e"),
        (".", "."),
        ("-", "-"),
        ("\u0661", "\u0661"),  # a digit one of another script
    ],
)
def test_a_word_means_what_yaml_1_2_says(word: str, expected: object) -> None:
    value = from_word(word)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("word", [".inf", "-.INF", ".nan", "1e999", "-1e999"])
def test_a_number_is_finite(word: str) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        from_word(word)


@pytest.mark.parametrize("word", ["9" * 301, "0." + "9" * 299, "9" * 100_000])
def test_a_number_has_at_most_300_digits(word: str) -> None:
    with pytest.raises(ValueError, match="must be a number of at most 300 digits, or text in quotes"):
        from_word(word)
    assert from_word("9" * 300) == 10**300 - 1


@pytest.mark.parametrize("text", ["a\0", "\ud800", "a\udfff"])
def test_text_that_no_file_could_have_as_its_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="without zero bytes and halves of surrogate pairs"):
        check_text(text)
