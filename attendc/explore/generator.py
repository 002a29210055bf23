"""The generator: what draws designs from a space.

Generative synthesis (arXiv 1809.05989, section 2) has a generator G(s), a neural network that turns a seed s into a
design, and updates it until it yields designs of the best performance U for which the indicator 1_r holds. Here G is a
table: a probability for each choice of each dimension, and the seed is that of the random numbers. What is the same:
designs are generated, inspected, and what was learned changes what is generated next. What is not: the dimensions are
drawn independently, and 1_r is not learned by G but tested on each draw (`constraints`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from attendc.explore.space import Space

__all__ = ["Generator", "uniform"]


@dataclass(frozen=True)
class Generator:
    """Attributes:
    probabilities: dimension -> a probability for each of its choices; they add up to 1.
    """

    probabilities: Mapping[str, tuple[float, ...]]

    def draw(self, rng: np.random.Generator) -> dict[str, int]:
        """Return dimension -> index of the choice, each drawn on its own."""
        return {name: int(rng.choice(len(p), p=p)) for name, p in self.probabilities.items()}


def uniform(space: Space) -> Generator:
    """Return the generator of a search that has learned nothing yet."""
    return Generator({name: (1 / len(choices),) * len(choices) for name, choices in space.dimensions.items()})
