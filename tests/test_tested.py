"""The versions that `attendc doctor` compares with are those of constraints.txt."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from attendc.tested import TESTED_PACKAGES, TESTED_PYTHON

ROOT = Path(__file__).parent.parent


def test_they_are_those_of_what_attendc_asks_for() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    exact = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    names = [re.split(r"[<>=!~]", text)[0] for text in asked]
    assert {name: exact[name] for name in names} == {**TESTED_PACKAGES}
    assert f"Python {TESTED_PYTHON}" in (ROOT / "constraints.txt").read_text().splitlines()[0]
