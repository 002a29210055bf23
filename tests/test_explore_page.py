"""docs/explore.md: its commands are understood, its space is one, and its tables say what the code does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from attendc.cli.main import cli
from attendc.explore.constraints import BUILDABLE, PRACTICES
from attendc.explore.performance import Weights, performance
from attendc.explore.protocol import rungs
from attendc.explore.proxies import PROXIES
from attendc.explore.request import ExploreRequest
from attendc.explore.space import read_space

PAGE = (Path(__file__).parent.parent / "docs" / "explore.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if not kind for line in text.splitlines() if line.startswith("attendc ")]


WEIGHTS = read_space("fashion-mnist").weights


def rows(head: str) -> list[list[str]]:
    """Return the cells of the table whose first column is called so."""
    text = re.search(rf"\| {head} \|.*?\n\|[-|]+\n((?:\|.*\n)+)", PAGE)
    assert text, head
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text[1].splitlines()]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str) -> None:
    _, name, *words = shlex.split(line, comments=True)
    command = cli.commands[name]
    assert command.make_context(name, words).params["output"]


def test_there_are_commands_to_understand() -> None:
    assert len(COMMANDS) == 6


def test_the_space_is_one(tmp_path: Path) -> None:
    (text,) = (text for kind, text in BLOCKS if kind == "yaml")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    space = read_space(tmp_path / "mine.yaml")
    assert space.dimensions.keys() == read_space("fashion-mnist").dimensions.keys()
    assert space.dimensions["resolution"] == (28, 32, (24, 32))
    assert space.budget == ("cortex-a76:2.7M", "params:0.5M")


def test_the_constraints_are_those_of_the_code() -> None:
    told = [(name, source) for name, _, source in rows("constraint")]
    assert told[0][0] == BUILDABLE
    assert told[1:] == [(one.name, one.source) for one in PRACTICES]


def test_the_proxies_are_those_of_the_code() -> None:
    told = {name: source for name, _, source in rows("proxy")}
    assert told == {name: proxy.source for name, proxy in PROXIES.items()}


def test_the_numbers_are_those_of_the_code() -> None:
    request = ExploreRequest(Path("found"))
    assert f"`--candidates` ({request.candidates})" in PAGE
    assert f"`--hold-out {request.hold_out}`" in PAGE
    assert f"`--heartbeat {request.heartbeat.interval},{request.heartbeat.grace}`" in PAGE
    assert (rungs(9), rungs(27)) == ((3,), (3, 9))
    told = Weights()
    assert f"alpha {told.alpha:g}, beta {told.beta:g}, gamma {told.gamma:g}" in PAGE
    assert f"The shipped spaces have alpha {WEIGHTS.alpha:g}" in PAGE
    assert read_space("imagenet").weights == WEIGHTS


def test_half_the_instructions_are_worth_what_the_page_says() -> None:
    half = performance(0.5, 1e6, 1e6) - performance(0.5, 1e6, 2e6)
    assert half == pytest.approx(3, abs=0.02)
    assert performance(0.5 * 1.19, 1e6, 2e6) - performance(0.5, 1e6, 2e6) == pytest.approx(half, abs=0.02)
    at_89, at_88 = performance(0.89, 1e6, 1e6, WEIGHTS), performance(0.88, 1e6, 0.7e6, WEIGHTS)
    assert at_89 == pytest.approx(at_88, abs=0.05)
