"""What a user says about a checkpoint. Nothing here imports torch, so that looking into a .tflite or .onnx does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from attendc.errors import UsageError
from attendc.recipe import is_preset_file
from attendc.types import Fit

__all__ = ["CheckpointRequest"]


@dataclass(frozen=True)
class CheckpointRequest:
    """A checkpoint, and what must be said about one that has no Spec; or a network that has no checkpoint.

    Attributes:
        path: the file; None: fresh weights of `model`, random by the seed, for studies of what a network costs.
        model: a preset, the path of one's YAML, or `package.module:factory`; empty: as the Spec says.
        model_args: arguments of the model.
        weights_key: which state_dict of a file that holds several.
        trust: unpickle in full.
        input_shape: (C, H, W).
        mean: per channel in 0..1.
        std: per channel in 0..1.
        fit: how images are brought to size.
        data: where images come from; empty: as the Spec says.
        classes: outputs of a preset without a checkpoint; None: the preset's own.
    """

    path: Path | None = None
    model: str = ""
    model_args: dict[str, object] = field(default_factory=dict)
    weights_key: str = ""
    trust: bool = False
    input_shape: tuple[int, int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fit: Fit | None = None
    data: str = ""
    classes: int | None = None

    @property
    def file(self) -> Path:
        """Return the path of a job that cannot do without.

        Raises:
            UsageError: if there is none.
        """
        if self.path is None:
            raise UsageError("no checkpoint is given", hint="Give the path of one")
        return self.path

    @property
    def name(self) -> str:
        """Return what runs are named by: the stem of the file, or the model."""
        if self.path is None and is_preset_file(self.model):
            return Path(self.model).stem
        return self.path.stem if self.path is not None else self.model.replace(":", ".")
