"""From the fields of a stage's config to the options of the one training loop."""

from __future__ import annotations

import dataclasses
from typing import Any

from attendc.train import TrainOptions

__all__ = ["loop_fields", "loop_options"]


def loop_options(config: Any) -> TrainOptions:
    """Return the options of training that a config holds under the same names."""
    names = {f.name for f in dataclasses.fields(TrainOptions)}
    return TrainOptions(**{f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name in names})


def loop_fields(options: TrainOptions) -> dict[str, Any]:
    """Return the options as fields of a config; how often a state is saved is nobody's business there."""
    return {k: v for k, v in dataclasses.asdict(options).items() if k != "save_every"}
