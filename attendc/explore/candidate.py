"""A design that exploration looks at: a member of the family, and the size of its image."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attendc.models.attendnext import AttendNeXtConfig

__all__ = ["Candidate", "candidate_from"]

_SIZE = "input_size"


@dataclass(frozen=True)
class Candidate:
    """One design.

    Attributes:
        config: the member.
        height: of its image, in pixels.
        width: of its image.
    """

    config: AttendNeXtConfig
    height: int
    width: int

    @property
    def key(self) -> str:
        """Return a text that is the same for equal designs, and for no others."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    def as_dict(self) -> dict[str, Any]:
        """Return all fields of the config and `input_size` ([height, width]), as JSON has them."""
        fields = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self.config).items()}
        return {**fields, _SIZE: [self.height, self.width]}


def candidate_from(told: Mapping[str, Any]) -> Candidate:
    """Return the design that `as_dict` told of; a field that is left out has its default.

    Raises:
        KeyError: without `input_size`.
        TypeError: if a key is no field of the config.
    """
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items() if k != _SIZE}
    height, width = told[_SIZE]
    return Candidate(AttendNeXtConfig(**fields), height, width)
