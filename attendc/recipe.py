"""A recipe as plain data: what goes in, and the ordered stages, each with its frozen config.

The docstring below a field is its help: `attendc recipe schema`, `init` and every fault tell it. Nothing here imports
torch; pydantic checks these classes where a recipe is read (`attendc.reader`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from attendc.types import Fit

__all__ = [
    "CHECKED",
    "VERSION",
    "CoreName",
    "DataSection",
    "ModelSection",
    "Precision",
    "Recipe",
    "StageEntry",
    "TargetSection",
    "is_preset_file",
]

VERSION = 1

CHECKED: Any = {"extra": "forbid", "use_attribute_docstrings": True, "strict": True}
"""How pydantic checks every class of a recipe: no key that is not known, no value of another type."""


CoreName = Literal["cortex-a35", "cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76", "neoverse-n1"]
"""Names of `attendc.arm.cores.CORES`, spelled out for the schema of recipes."""

Precision = Literal["float32", "bfloat16"]
"""Of what is computed in training: `bfloat16` is mixed, with weights and losses in float32."""


def is_preset_file(model: str) -> bool:
    """Return whether a model is named by the file of a preset."""
    return model.endswith((".yaml", ".yml"))


@dataclass(frozen=True)
class ModelSection:
    """The network that goes in."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    checkpoint: str = ""
    """Path or URI of the checkpoint. `convert` and `verify` also take a folder or a .pt2 that attendc made. Empty: the
    network is trained from scratch, or quantized and converted with random weights to see what it costs."""
    sha256: str = ""
    """What the checkpoint must hash to, as 64 hexadecimal digits; empty: anything."""
    name: str = ""
    """A preset of attendc's (attendnext_nano, ...), or the path of a .yaml with one of your own. Empty: as the
    checkpoint says."""
    factory: str = ""
    """`package.module:function` that returns the network; the only dotted path that a recipe may hold."""
    args: dict[str, Any] = field(default_factory=dict)
    """Keywords of the preset or the factory."""
    weights_key: str = ""
    """Which state_dict of a checkpoint that holds several."""
    trust: bool = False
    """Unpickle the checkpoint in full: this can run code."""
    input_shape: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)], Annotated[int, Ge(1)]] | None = None
    """[channels, height, width] of a checkpoint without a Spec."""
    mean: tuple[float, ...] = ()
    """Per channel in 0..1, or one for all."""
    std: tuple[Annotated[float, Gt(0)], ...] = ()
    """Per channel in 0..1, or one for all."""
    fit: Fit | None = None
    """How images get their size. Default: as the checkpoint says."""
    classes: Annotated[int, Ge(1)] | None = None
    """Outputs of a preset without a checkpoint, whose weights are random by the seed. Default: the preset's own."""


@dataclass(frozen=True)
class DataSection:
    """The images that train, calibrate and judge."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    source: str = ""
    """Built-in set, folder, shards, .npz, or URI of one. Empty: as the checkpoint says."""
    sha256: str = ""
    """What the file, or the built-in set, must hash to; empty: anything."""


@dataclass(frozen=True)
class TargetSection:
    """What the artefacts are made for."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    core: CoreName | None = None
    """The ARM core: what the stage bench counts on, and a pruning budget without a core means. Default: none."""


@dataclass(frozen=True)
class StageEntry:
    """One stage: `step` is its name in the registry, `config` an instance of that step's config."""

    step: str
    config: Any


@dataclass(frozen=True)
class Recipe:
    """A recipe whose every value is checked.

    Attributes:
        name: of the run's folder.
        stages: in the order in which they run.
        variants: name -> the same recipe with other `vars`; where there are any, they run instead, side by side.
    """

    name: str
    stages: tuple[StageEntry, ...]
    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    target: TargetSection = field(default_factory=TargetSection)
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Annotated[int, Ge(1)] | None = None
    output: str = "runs"
    variants: dict[str, Recipe] = field(default_factory=dict)
    version: int = VERSION
