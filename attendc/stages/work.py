"""What stands between two stages: the files that were made, and the few facts that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attendc.recipe import ModelSection

if TYPE_CHECKING:
    from attendc.opening import CheckpointRequest

__all__ = ["CHECKPOINT", "Made", "Work", "merge_told"]

CHECKPOINT = "checkpoint"
"""The fact that names the file which is the checkpoint now; without it the checkpoint is what came in."""


@dataclass(frozen=True)
class Work:
    """What a stage finds.

    Attributes:
        model: what the recipe says of the network; its checkpoint is a path on this machine.
        data: what `load_dataset` takes; empty: as the checkpoint says.
        files: name in the run's folder -> where it lies now; made by the stages before.
        facts: what the stages before have to say to those after them; JSON.
        told: what the stages before say in the manifest.
    """

    model: ModelSection
    data: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        """Return what came in: a checkpoint, a .pt2 or a folder."""
        return Path(self.model.checkpoint)

    def source_request(self) -> CheckpointRequest:
        """Return how the checkpoint that came in is opened."""
        from attendc.opening import CheckpointRequest

        one = self.model
        return CheckpointRequest(
            self.source,
            one.name or one.factory,
            dict(one.args),
            one.weights_key,
            one.trust,
            one.input_shape,
            one.mean,
            one.std,
            one.fit,
            self.data,
        )

    def checkpoint_request(self) -> CheckpointRequest:
        """Return how the checkpoint is opened that the stages before left; a Spec of ours tells most of it."""
        asked = self.source_request()
        name = self.facts.get(CHECKPOINT)
        if name is None:
            return asked
        return replace(asked, path=self.files[name], weights_key="", trust=False)

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
        if isinstance(known, list) and isinstance(value, list):
            merged[name] = [*known, *value]
        elif isinstance(known, dict) and isinstance(value, dict):
            merged[name] = {**known, **value}
        else:
            merged[name] = value
    return merged
