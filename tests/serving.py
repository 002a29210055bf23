"""A web server of the tests' own, which remembers what it was asked for."""

from __future__ import annotations

import http.server
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["HAS_AIOHTTP", "Served", "serving"]

HAS_AIOHTTP = importlib.util.find_spec("aiohttp") is not None
"""fsspec reads http with it."""


@dataclass
class Served:
    """Attributes:
    port: of 127.0.0.1.
    asked: names of the files whose content was asked for.
    """

    port: int
    asked: list[str] = field(default_factory=list)

    def url(self, user: str = "") -> str:
        """Return where the folder is, without a slash at the end."""
        return f"http://{user and user + '@'}127.0.0.1:{self.port}"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; says no to a name with `closed` and yes to the rest."""

    def __init__(self, *args: Any, asked: list[str], **kwargs: Any) -> None:
        self.asked = asked
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        if self.command == "GET":
            self.asked.append(self.path.rpartition("/")[2])
        if "closed" in self.path:
            self.send_error(403)
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815 - as the base class calls it

    def log_message(self, format: str, *args: Any) -> None:
        return None


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve a folder while the context lasts."""
    asked: list[str] = []
    handler = partial(Handler, directory=str(folder), asked=asked)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Served(server.server_port, asked)
        finally:
            server.shutdown()
            thread.join()
