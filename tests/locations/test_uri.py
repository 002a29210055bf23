"""What is a URI, and what is shown of it."""

from __future__ import annotations

import pytest

from attendc.locations import is_uri, redacted
from attendc.locations.uri import scrubbed


@pytest.mark.parametrize("text", ["s3://bucket/x", "memory://x", "file:///x", "HTTPS://host/x", "abfs+ssl://c/x"])
def test_a_scheme_makes_a_uri(text: str) -> None:
    assert is_uri(text)


@pytest.mark.parametrize(
    "text", ["", "x", "/x", "./x:y", "C:\\x", "C:/x", "C://x", "c:x", "s3:x", "a b://x", "://x", "fashion-mnist-mini"]
)
def test_paths_and_drives_are_no_uris(text: str) -> None:
    assert not is_uri(text)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://bucket/a/b.pt", "s3://bucket/a/b.pt"),
        ("/home/a@b/x?y=z", "/home/a@b/x?y=z"),
        ("ftp://user:secret@host:21/x", "ftp://***@host:21/x"),
        ("ftp://user@host/x", "ftp://***@host/x"),
        ("ftp://user:sec/ret@host/x", "ftp://***@host/x"),
        ("ftp://user:s@cr@t@host/x", "ftp://***@host/x"),
        ("s3://bucket/name@2x.png", "s3://bucket/name@2x.png"),
        ("https://host:8080/x@y", "https://host:8080/x@y"),
        ("https://[::1]:8080/x@y", "https://[::1]:8080/x@y"),
        ("https://host/x?sig=secret&part=1", "https://host/x?sig=***&part=***"),
        ("https://host/x?secret", "https://host/x?***"),
        ("https://host/x#secret", "https://host/x#***"),
        ("https://user:secret@host/x?token=secret#secret", "https://***@host/x?token=***#***"),
    ],
)
def test_secrets_are_not_shown(uri: str, shown: str) -> None:
    assert redacted(uri) == shown


def test_the_text_of_an_error_keeps_the_secrets_too() -> None:
    uri = "https://me:pass%20word@host/x?sig=abcdef&part=7#frag"
    text = f"GET {uri} failed for me (pass word, pass%20word), sig abcdef, frag"
    shown = "GET https://***@host/x?sig=***&part=***#*** failed for *** (***, ***), sig ***, ***"
    assert scrubbed(text, uri) == shown
