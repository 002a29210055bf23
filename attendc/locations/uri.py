"""What a URI is, its parts, and how it may be shown."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

__all__ = ["is_uri", "last_name", "local_path", "redacted", "scheme_of", "scrubbed"]

# A scheme has two letters at least: C://x is a path on Windows. RFC 3986, section 3.1.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_HIDDEN = "***"


def is_uri(text: str) -> bool:
    """Return whether `text` begins with a scheme and `://`; paths do not, with a drive's letter neither."""
    return _SCHEME.match(text) is not None


def scheme_of(uri: str) -> str:
    """Return `s3` of `S3://bucket/x`; of a path the empty text."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def local_path(location: str) -> Path | None:
    """Return the path that a plain path or a file:// URI of this machine means; None of any other."""
    if not is_uri(location):
        return Path(location)
    host, slash, rest = location.partition("://")[2].partition("/")
    if scheme_of(location) != "file" or host not in ("", "localhost"):
        return None
    return Path(unquote(slash + rest))


def last_name(uri: str) -> str:
    """Return the name of the file or folder, fit to be a name on this machine."""
    name = PurePosixPath(re.split(r"[?#]", uri.partition("://")[2])[0].rstrip("/")).name
    return name if name not in ("", ".", "..") and not name.startswith(".attendc") else "download"


def redacted(uri: str) -> str:
    """Return the URI without what may be secret: user, password, values of the query, fragment. The path stays."""
    if not is_uri(uri):
        return uri
    scheme, _, rest = uri.partition("://")
    user, rest = _user(rest)
    rest, _, fragment = rest.partition("#")
    path, _, query = rest.partition("?")
    query = re.sub(r"=[^&]*", f"={_HIDDEN}", query) if "=" in query else query and _HIDDEN
    return f"{scheme}://{user and _HIDDEN + '@'}{path}{query and '?' + query}{fragment and '#' + _HIDDEN}"


def scrubbed(text: str, uri: str) -> str:
    """Return the text of an error about `uri` with everything in it hidden that `redacted` hides."""
    user, rest = _user(uri.partition("://")[2])
    rest, _, fragment = rest.partition("#")
    query = rest.partition("?")[2]
    secrets = {user, *user.split(":", 1), fragment, *(re.findall(r"=([^&]+)", query) if "=" in query else [query])}
    text = text.replace(uri, redacted(uri))
    for secret in sorted(secrets | {unquote(s) for s in secrets}, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN) if len(secret) > 1 else text
    return text


def _user(rest: str) -> tuple[str, str]:
    """Part what follows `://` into `user:password` and the rest.

    A password with an unescaped slash is no URI, but must not be shown: it begins as a port that is no number.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    port = authority.partition(":")[2]
    odd = bool(port) and not port.isdigit() and not authority.startswith("[")
    at = rest.rfind("@") if odd else authority.rfind("@")
    return (rest[:at], rest[at + 1 :]) if at >= 0 else ("", rest)
