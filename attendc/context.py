"""What every step is handed beside its input: the seed, the device, and where to say what is going on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from attendc.errors import UsageError

__all__ = ["Advance", "Context", "silent_progress"]

Advance = Callable[[int, str], None]
"""Called with how many units were done since the last call, and a short text (a loss, say)."""


@contextmanager
def silent_progress(title: str, total: int) -> Iterator[Advance]:
    """Show nothing; what scripts and tests use."""

    def advance(count: int, text: str) -> None:
        return None

    yield advance


def _say_nothing(text: str) -> None:
    return None


@dataclass(frozen=True)
class Context:
    """Attributes:
    seed: of every random choice.
    device: `cpu` or `cuda`.
    progress: opens a progress bar, given a title and the number of units.
    say: prints one line of log.
    warnings: collects what the user and the manifest must know.
    threads: CPU threads; None: as many as torch takes by itself.
    resume_folder: where a step keeps what it needs to go on after a kill; None: nowhere. It belongs to one run: what
        lies there was made from the same inputs by the same options.
    """

    seed: int = 0
    device: str = "cpu"
    progress: Callable[[str, int], AbstractContextManager[Advance]] = silent_progress
    say: Callable[[str], None] = _say_nothing
    warnings: list[str] = field(default_factory=list)
    threads: int | None = None
    resume_folder: Path | None = None

    def warn(self, text: str) -> None:
        """Print the line and keep it for the manifest."""
        self.warnings.append(text)
        self.say(f"warning: {text}")

    def state_file(self, name: str) -> Path | None:
        """Return where the training of that name keeps its resume state; None: nowhere."""
        return None if self.resume_folder is None else self.resume_folder / f"{name}.resume"

    def check_device(self) -> None:
        """Check, before any work, that the device is there.

        Raises:
            UsageError: if not.
        """
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise UsageError("no CUDA device is available", hint="Use --device cpu; in a recipe, device: cpu")
