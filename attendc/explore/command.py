"""The command line that a request is, as somebody would type it to do the same again."""

from __future__ import annotations

import shlex
from dataclasses import fields

from attendc.explore.request import ExploreRequest
from attendc.explore.storage import masked

__all__ = ["command_of"]

_ALWAYS = ("trials", "epochs")
_OWN = ("output", "space", "budgets", "storage", "timeout", "force", "heartbeat")
"""Fields that are no option, or are written in a way of their own; `force` and `heartbeat` change no result."""


def command_of(request: ExploreRequest, *, seed: int) -> str:
    """Return `attendc explore ...` with what is not default, and without the password of the storage."""
    words = ["attendc", "explore", request.space]
    for one in fields(request):
        value = getattr(request, one.name)
        if one.name in _OWN or (value == one.default and one.name not in _ALWAYS):
            continue
        option = f"--{one.name.replace('_', '-')}"
        words += [option] if value is True else [option, str(value)]
    words += [word for budget in request.budgets for word in ("--budget", budget)]
    words += ["--timeout", f"{request.timeout:g}s"] if request.timeout is not None else []
    words += ["--storage", masked(request.storage)] if request.storage else []
    words += ["--seed", str(seed)] if seed else []
    return shlex.join([*words, "-o", str(request.output)])
