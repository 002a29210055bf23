"""The command line of a request: what is not default, quoted, and without a password."""

from __future__ import annotations

from pathlib import Path

from attendc.explore.command import command_of
from attendc.explore.request import ExploreRequest


def test_a_request_of_defaults_says_how_long_it_searches() -> None:
    request = ExploreRequest(Path("found"))
    assert command_of(request, seed=0) == (
        f"attendc explore fashion-mnist --trials {request.trials} --epochs {request.epochs} -o found"
    )


def test_everything_else_is_said_where_it_is_not_default() -> None:
    request = ExploreRequest(
        Path("found here"),
        space="my space.yaml",
        trials=8,
        epochs=2,
        budgets=("cortex-a76:2.7M", "params:0.5M"),
        search="pareto",
        baseline="attendnext_nano",
        hold_out=0.25,
        jobs=2,
        timeout=1800.0,
        ablate=True,
        force=True,
    )
    assert command_of(request, seed=3) == (
        "attendc explore 'my space.yaml' --trials 8 --epochs 2 --search pareto --baseline attendnext_nano "
        "--hold-out 0.25 --jobs 2 --ablate --budget cortex-a76:2.7M --budget params:0.5M --timeout 1800s --seed 3 "
        "-o 'found here'"
    )


def test_a_password_is_not_said() -> None:
    request = ExploreRequest(Path("found"), storage="postgresql://ada:s3cret@host/studies", study="nano")
    told = command_of(request, seed=0)
    assert "s3cret" not in told
    assert "ada" in told
    assert "host/studies" in told
