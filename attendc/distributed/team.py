"""The processes that torchrun started: one of them does the command, the others help it to train.

Only the first says anything, reads checkpoints, and writes outputs, cache and resume states. Where it trains it sends
the others what they need (`Team.call`), and from then on all of them go step by step until the training ends.

Outside torchrun a team has one process, and nothing here imports or calls `torch.distributed`.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch

from attendc.errors import AttendcError, InternalError, UsageError

__all__ = ["Team", "run_together", "the_team"]

T = TypeVar("T")

_OF_TORCHRUN = {
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
}
_WAIT = timedelta(days=30)
"""The others wait so long for the first, which may convert and verify for hours; torchrun ends them if it dies."""
_TRAINING_WAIT = timedelta(hours=1)
"""While all train, so long for the slowest: NCCL, unlike gloo, does not notice by itself that a process is gone."""
_INTERRUPTED = 130


@dataclass
class Team:
    """The processes that train together.

    Attributes:
        rank: which of them this one is; 0 leads.
        size: how many there are.
        local_rank: which of those on this computer this one is; it takes the CUDA device of that number.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    _broken: bool = field(default=False, init=False)
    _common: BaseException | None = field(default=None, init=False)
    _groups: dict[str, Any] = field(default_factory=dict, init=False)

    @property
    def is_alone(self) -> bool:
        """Return whether there are no others."""
        return self.size == 1

    @property
    def leads(self) -> bool:
        """Return whether this process does the command."""
        return self.rank == 0

    def part_of(self, count: int) -> slice:
        """Return which of `count` images in a row are this process's; shares differ by one image at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have the others do `function(*arguments)`; the first, who calls this, does its own part after.

        Networks among the arguments arrive on the CPU.

        Raises:
            UsageError: if something cannot be sent: a network of classes or functions that are defined inside others.
        """
        if self.is_alone:
            return
        content = io.BytesIO()
        try:
            torch.save((function, tuple(map(_sendable, arguments))), content)
        except Exception as e:
            raise UsageError(
                f"the network cannot be sent to the other processes: {type(e).__name__}: {e}",
                hint="Define its classes at the top of a module, or train in one process",
            ) from e
        with self.working():
            self._send((content.getvalue(), torch.get_num_threads()))
            self.agreed(lambda: None)  # nobody failed to read it

    def agreed(self, work: Callable[[], T]) -> T:
        """Return what `work` returns here; what it raises in one process is raised in all of them.

        `work` must not talk to the others.
        """
        if self.is_alone:
            return work()
        failure: Exception | None = None
        try:
            result = work()
        except Exception as e:  # noqa: BLE001 - raised below, in all processes
            failure = e
        if self.total(float(failure is not None)) == 0:
            return result
        raise self.common(self._first_failure(failure))

    def total(self, value: float) -> float:
        """Return the sum of a number over the processes, the same in all of them."""
        if self.is_alone:
            return value
        from torch import distributed

        summed = torch.tensor(value, dtype=torch.float64)
        with self.lost_is_told():
            distributed.all_reduce(summed)
        return float(summed)

    def common(self, error: Exception) -> Exception:
        """Return an error that every process raises at this very place, so that the team outlives it."""
        self._common = error
        return error

    def group(self, device: str) -> Any:
        """Return the group of torch.distributed for what a step shares on `device`; all must ask in the same order."""
        from torch import distributed

        if device not in self._groups:
            backend = "nccl" if device == "cuda" else "gloo"
            self._groups[device] = distributed.new_group(backend=backend, timeout=_TRAINING_WAIT)
        return self._groups[device]

    def take_device(self, device: str) -> None:
        """Let `cuda` mean this process's own device.

        Raises:
            UsageError: if there are fewer devices on this computer than processes.
        """
        if device != "cuda" or self.is_alone:
            return
        found = torch.cuda.device_count()
        if self.local_rank >= found:
            raise UsageError(
                f"process {self.local_rank + 1} on this computer has no CUDA device: there are {found}",
                hint=f"Start {found} processes a computer (torchrun --nproc-per-node {found}), or use --device cpu",
            )
        torch.cuda.set_device(self.local_rank)

    def leave(self) -> None:
        """Close the connections, unless others may still wait at their ends."""
        from torch import distributed

        if not self._broken:
            distributed.destroy_process_group()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Note whether an error left this process elsewhere than the others: then it does not wait for them."""
        try:
            yield
        except BaseException as e:
            self._broken = self._broken or e is not self._common
            raise

    @contextmanager
    def lost_is_told(self) -> Iterator[None]:
        """Say in our words that another process is gone, wherever torch.distributed finds it out."""
        try:
            yield
        except RuntimeError as e:
            if self.is_alone or not _is_loss(e):
                raise
            self._broken = True
            raise _LostError(
                "another process of this training is gone",
                hint="What it said last, or torchrun below, tells why; the same command again goes on",
            ) from e

    def lead(self, command: Callable[[], int]) -> int:
        """Do the command, then let the others go with its exit code, which is returned."""
        code = InternalError.exit_code
        try:
            code = command()
            return code
        finally:
            if not self._broken:
                with suppress(_LostError):
                    self._send(code)
            self._broken = self._broken or code != 0  # the others wait for this process to end

    def follow(self) -> int:
        """Do what the first process calls for until it is done, and return its exit code.

        Raises:
            Exception: what left this process elsewhere than the others; they notice when it ends.
        """
        try:
            while not isinstance(sent := self._receive(), int):
                self._help(*sent)
        except _LostError:
            return InternalError.exit_code  # the first process, or torchrun, tells
        except KeyboardInterrupt:
            return _INTERRUPTED
        if sent:
            with suppress(_LostError):  # torchrun ends all when one fails: that must be the first, by its own error
                self._receive()
        return sent

    def _help(self, content: bytes, threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            with self.working():
                function, arguments = self.agreed(lambda: _unpacked(content))
                function(*arguments)
        except Exception:
            if self._broken:
                raise

    def _first_failure(self, own: Exception | None) -> Exception:
        """Return the error of the first process that has one; that of another process tells whose it is."""
        from torch import distributed

        told: list[AttendcError | None] = [None] * self.size
        with self.lost_is_told():
            distributed.all_gather_object(told, _told(own))
        rank, error = next((rank, error) for rank, error in enumerate(told) if error is not None)
        if rank == self.rank and own is not None:
            return own
        error.message = f"process {rank + 1} of {self.size}: {error.message}"
        return error

    def _send(self, content: object) -> None:
        from torch import distributed

        with self.lost_is_told():
            distributed.broadcast_object_list([content], src=0)

    def _receive(self) -> Any:
        from torch import distributed

        sent: list[Any] = [None]
        with self.lost_is_told():
            distributed.broadcast_object_list(sent, src=0)
        return sent[0]


def the_team() -> Team:
    """Return the processes that this one works with; outside `run_together` it is alone."""
    return _the_team


def run_together(command: Callable[[], int]) -> int:
    """Do a command, and return its exit code; under torchrun the first process does it and the others help to train.

        raise SystemExit(attendc.run_together(main))  # torchrun --nproc-per-node 2 script.py

    Every process returns the same code. Processes that the command starts are none of torchrun's.

    Raises:
        InternalError: if the processes do not find each other.
    """
    global _the_team
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return command()
    _the_team = team = _joined()
    try:
        return team.lead(command) if team.leads else team.follow()
    finally:
        _the_team = Team()
        team.leave()


def _joined() -> Team:
    from torch import distributed

    team = Team(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    try:
        distributed.init_process_group("gloo", timeout=_WAIT)
    except (RuntimeError, ValueError) as e:
        raise InternalError(
            f"process {team.rank + 1} of {team.size} does not find the others: {e}",
            hint="Look at torchrun's --rdzv-endpoint, and whether its port is open",
        ) from e
    # DistributedDataParallel warns of kernels of one channel, whose strides can be told in two ways; no matter.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    for name in [n for n in os.environ if n in _OF_TORCHRUN or n.startswith("TORCHELASTIC_")]:
        del os.environ[name]
    return team


class _LostError(AttendcError):
    """Another process is gone."""


def _is_loss(error: RuntimeError) -> bool:
    from torch import distributed

    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


def _told(error: Exception | None) -> AttendcError | None:
    """Return an error as it is told to other processes, which may not know its class."""
    if error is None or isinstance(error, AttendcError):
        return error
    return InternalError(f"{type(error).__name__}: {error}")


def _sendable(argument: Any) -> Any:
    """Return a graph without the methods and the tracer of its own that torch.export gives it: they cannot be sent."""
    if not isinstance(argument, torch.fx.GraphModule):
        return argument
    bare = torch.fx.GraphModule(argument, argument.graph)
    bare._tracer_cls = None
    return bare


def _unpacked(content: bytes) -> Any:
    here = str(Path.cwd())  # where the first process found the classes of a network of the user's
    if here not in sys.path:
        sys.path.insert(0, here)
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)


_the_team = Team()
