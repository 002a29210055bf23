"""Inputs over HTTP, from a server of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fetching import WEIGHTS, WEIGHTS_SHA256, Told, fetched
from serving import HAS_AIOHTTP, serving

from attendc.errors import DataError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.pt").write_bytes(WEIGHTS)
    with serving(folder) as served:
        yield served.url("user:secret")


@pytest.mark.skipif(not HAS_AIOHTTP, reason="fsspec reads http with aiohttp; without it, the package is named: above")
class TestHttp:
    def test_a_file_is_fetched_once(self, server: str, told: Told) -> None:
        first = fetched(f"{server}/net.pt?sig=secret", told, WEIGHTS_SHA256)
        assert (first.name, first.read_bytes()) == ("net.pt", WEIGHTS)
        assert fetched(f"{server}/net.pt?sig=secret", told) == first
        assert len(told.bars) == 1
        assert "secret" not in told.bars[0][0]

    @pytest.mark.parametrize(("name", "reason"), [("none.pt", "nothing is there"), ("closed.pt", "no permission")])
    def test_what_the_server_refuses_is_told(self, server: str, told: Told, name: str, reason: str) -> None:
        with pytest.raises(DataError, match=reason) as caught:
            fetched(f"{server}/{name}?sig=secret", told, error=DataError)
        assert "secret" not in str(caught.value)

    def test_a_server_that_is_not_there_is_told(self, told: Told) -> None:
        with pytest.raises(DataError, match=r"http://\*\*\*@127\.0\.0\.1:1/net\.pt: it is not reached") as caught:
            fetched("http://user:secret@127.0.0.1:1/net.pt", told, error=DataError)
        assert caught.value.hint == "Check the network and the address"
        assert "secret" not in str(caught.value)
