"""What stands between two stages: the files that were made, and the few facts that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attendc.errors import UsageError
from attendc.files import sha256
from attendc.recipe import ModelSection

if TYPE_CHECKING:
    from attendc.opening import CheckpointRequest

__all__ = ["CHECKPOINT", "EVIDENCE", "SIMPLIFIED", "SOURCE", "Made", "Work", "merge_told"]

CHECKPOINT, SOURCE = "checkpoint", "source"
"""Facts that name the file which is the checkpoint now, and the one that training made; without them it is what came
in."""
SIMPLIFIED = "simplified"
"""Fact: sha256 of the checkpoint whose float graph `simplify` left."""

EVIDENCE = "evidence.json"
"""What `verify` writes for the report."""
_TOLD_WHOLE = ("history",)
"""Sections that a stage tells from the beginning, since the checkpoint remembers what came before."""


@dataclass(frozen=True)
class Work:
    """What a stage finds.

    Attributes:
        model: what the recipe says of the network; its checkpoint is a path on this machine.
        data: what `load_dataset` takes; empty: as the checkpoint says.
        files: name in the run's folder -> where it lies now; made by the stages before.
        facts: what the stages before have to say to those after them; JSON.
        told: what the stages before say in the manifest.
        core: the ARM core that the recipe makes its files for; empty: none in particular.
        verified: whether a stage of the recipe proves the artefacts; they are stamped where none does.
    """

    model: ModelSection
    data: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    core: str = ""
    verified: bool = True

    @property
    def source(self) -> Path:
        """Return what came in: a checkpoint, a .pt2 or a folder."""
        return Path(self.model.checkpoint)

    def source_request(self) -> CheckpointRequest:
        """Return how the checkpoint is opened that everything is measured by: what came in, or what was trained."""
        return self._request(self.facts.get(SOURCE))

    def checkpoint_request(self) -> CheckpointRequest:
        """Return how the checkpoint is opened that the stages before left."""
        return self._request(self.facts.get(CHECKPOINT))

    def is_simplified(self) -> bool:
        """Return whether a stage before has left a float graph of the checkpoint as it is now.

        Raises:
            UsageError: if it left one of a network that was changed since.
        """
        if SIMPLIFIED not in self.facts:
            return False
        path = self.checkpoint_request().path
        if self.facts[SIMPLIFIED] != ("" if path is None else sha256(path)):
            raise UsageError(
                "the network was changed after it was simplified", hint="Let simplify come after train, prune and mask"
            )
        return True

    def _request(self, name: str | None) -> CheckpointRequest:
        """Return how a file of ours is opened, whose Spec tells all but the user's own code; or what came in."""
        from attendc.opening import CheckpointRequest

        one = self.model
        if name is not None:
            args = dict(one.args) if one.factory else {}
            return CheckpointRequest(self.files[name], one.factory, args, data=self.data)
        return CheckpointRequest(
            self.source if one.checkpoint else None,
            one.name or one.factory,
            dict(one.args),
            one.weights_key,
            one.trust,
            one.input_shape,
            one.mean,
            one.std,
            one.fit,
            self.data,
            one.classes,
        )

    def path_of(self, name: str) -> Path:
        """Return where an output of the stages before lies: a file, or the folder of the files below `name`."""
        if name in self.files:
            return self.files[name]
        inner = next(one for one in self.files if one.startswith(f"{name}/"))
        return self.files[inner].parents[inner.count("/") - name.count("/") - 1]

    def after(self, made: Made, files: Mapping[str, Path]) -> Work:
        """Return what the next stage finds."""
        return replace(
            self,
            files={**self.files, **files},
            facts={**self.facts, **made.facts},
            told=merge_told(self.told, made.told),
        )


@dataclass(frozen=True)
class Made:
    """What a stage says beside the files that it wrote.

    Attributes:
        told: sections of the manifest: lists go on where those of the stages before end, mappings are joined.
        facts: for the stages after it; JSON.
    """

    told: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def merge_told(before: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of both: lists one after the other, mappings joined, anything else as told last."""
    merged = dict(before)
    for name, value in told.items():
        known = merged.get(name)
        if isinstance(known, list) and isinstance(value, list) and name not in _TOLD_WHOLE:
            merged[name] = [*known, *value]
        elif isinstance(known, dict) and isinstance(value, dict):
            merged[name] = {**known, **value}
        else:
            merged[name] = value
    return merged
