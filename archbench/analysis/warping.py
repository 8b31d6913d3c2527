"""On which scale do the contributions to an accuracy add up?

Near a ceiling an improvement shows as less than it is: what adds up is not the accuracy but a
bent one, and the best candidates differ by less than the same regression says of the others
(warped Gaussian processes: Snelson, Rasmussen and Ghahramani 2004). The bends are Johnson's
(1949, Biometrika 36, 149-176, system S_U): sinh, which stretches both ends, moved so that it
stretches the top more than the bottom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

_POINTS, _SHARES = np.polynomial.hermite_e.hermegauss(5)


@dataclass(frozen=True)
class Warping:
    """A scale for accuracies that are told in spreads from their mean.

    Attributes:
        strength: How much of it; 0 leaves all as it is.
        lean: How much more the top is stretched than the bottom; 0 is alike.
    """

    strength: float = 0.0
    lean: float = 0.0

    def bent(self, values: Array) -> Array:
        """The values on this scale; 0 stays 0, and near it a step stays as large."""
        if not self.strength:
            return values
        raised = np.sinh(self.strength * values + self.lean) - np.sinh(self.lean)
        return np.asarray(raised / (self.strength * np.cosh(self.lean)))

    def straight(self, bent: Array) -> Array:
        """What is the values' place on this scale, undone."""
        if not self.strength:
            return bent
        raised = self.strength * np.cosh(self.lean) * bent + np.sinh(self.lean)
        return np.asarray((np.arcsinh(raised) - self.lean) / self.strength)

    def slope(self, values: Array) -> Array:
        """How much longer a small step is here."""
        return np.asarray(np.cosh(self.strength * values + self.lean) / np.cosh(self.lean))

    def moments(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Mean and variance, straight, of what is normal on this scale (Gauss and Hermite)."""
        shares = _SHARES / _SHARES.sum()
        around = [self.straight(mean + point * np.sqrt(variance)) for point in _POINTS]
        middle = np.tensordot(shares, np.stack(around), axes=1)
        return middle, np.tensordot(shares, (np.stack(around) - middle) ** 2, axes=1)


STRAIGHT = Warping()
WARPINGS = (Warping(0.35), Warping(0.7), Warping(0.3, 1.0), Warping(0.6, 1.0))
"""What is tried beside the straight one."""
