"""The file system behind a URI, through fsspec, and its errors as ours."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attendc.errors import AttendcError
from attendc.locations.uri import redacted, scheme_of, scrubbed

__all__ = ["file_system", "remote_errors"]

_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_DENIED = {errno.EACCES, errno.EPERM}
_UNREACHED = (ConnectionError, TimeoutError, socket.gaierror)
_UNREACHED_NAMES = {"ClientConnectorError", "EndpointConnectionError", "ConnectTimeoutError", "ClientConnectionError"}
_DENIED_NAMES = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "AuthenticationException"}


def file_system(uri: str, error: type[AttendcError]) -> tuple[Any, str]:
    """Return fsspec's file system for a URI, and the path in it.

    Raises:
        AttendcError: of the type `error` if the scheme is unknown, or a package for it is not installed.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import get_filesystem_class, known_implementations, registry

    scheme = scheme_of(uri)
    if scheme not in known_implementations and scheme not in registry:
        raise error(f"unknown scheme {scheme!r} in {redacted(uri)}", hint="Known are https, s3, gs, az, hf, sftp, file")
    try:
        get_filesystem_class(scheme)
    except ImportError as e:
        package = _PACKAGES.get(scheme) or (getattr(e.__cause__, "name", None) or scheme).partition(".")[0]
        raise error(
            f"{scheme}:// needs the Python package {package}, which is not installed ({redacted(uri)})",
            hint=f"pip install {package}",
        ) from None
    with remote_errors(uri, error, "open"):
        system, path = url_to_fs(uri, **({"auto_mkdir": True} if scheme in ("file", "local") else {}))
        system.invalidate_cache()  # what another process has put there since is seen
        return system, str(path)


@contextmanager
def remote_errors(uri: str, error: type[AttendcError], doing: str) -> Iterator[None]:
    """Turn what the file systems of many libraries raise into one of ours, with no secret of the URI in it."""
    try:
        yield
    except AttendcError:
        raise
    except Exception as e:  # noqa: BLE001 - every file system has errors of its own
        message, hint = _told(e, redacted(uri), scheme_of(uri), doing)
        raise error(scrubbed(message, uri), hint=hint) from None  # the cause may name the secrets


def _told(e: BaseException, shown: str, scheme: str, doing: str) -> tuple[str, str]:
    if isinstance(e, FileNotFoundError) and e.__cause__ is not None:
        e = e.__cause__  # for http, fsspec says so of every error
    status = getattr(e, "status", None)
    kind = {c.__name__ for c in type(e).__mro__}
    if isinstance(e, FileNotFoundError) or status == 404:
        return f"cannot {doing} {shown}: nothing is there", "Check the address"
    denied = isinstance(e, PermissionError) or (isinstance(e, OSError) and e.errno in _DENIED)
    if denied or status in (401, 403) or kind & _DENIED_NAMES:
        return f"cannot {doing} {shown}: no permission", f"Set the credentials for {scheme}:// in the environment"
    if isinstance(e, NotImplementedError):
        return f"cannot {doing} {shown}: {scheme}:// does not allow it", "Choose another place"
    text = f"{type(e).__name__}: {e}".rstrip(": ")
    if isinstance(e, _UNREACHED) or kind & _UNREACHED_NAMES:
        return f"cannot {doing} {shown}: it is not reached ({text})", "Check the network and the address"
    return f"cannot {doing} {shown} ({text})", "Check the address, the network and the credentials"
