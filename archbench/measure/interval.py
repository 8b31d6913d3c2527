"""How far may the ratio of two lower quartiles be off, with rounds that resemble their neighbours.

Passes of one process are no independent draws: the clock creeps, a neighbour comes and goes, and
one pass in ten is slow. A bootstrap over rounds takes them for independent: on synthetic runs in
which neighbouring passes correlate by 0.6 its 95 % interval held the truth 71 to 85 times in 100.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SHARE = 0.25
"""The quantile that is compared."""

_LEAST_WAVES = 5
_SPARSITY_SCALE = 0.8  # of Bofinger's bandwidth, which is the widest choice in use


def quartile_ratios(candidate: Array, calibration: Array) -> Array:
    """The ratio of the lower quartiles of each run, of shape (runs,).

    Args:
        candidate: A sample for each run and round, (runs, rounds).
        calibration: The other network's sample of the same rounds.
    """
    ratios: Array = _quartiles(candidate) / _quartiles(calibration)
    return ratios


def log_half_widths(candidate: Array, calibration: Array, *, level: float = 0.95) -> Array:
    """By how much the logarithm of each run's ratio may be off, of shape (runs,).

    Each round's influence on the ratio is how far it pulls both quartiles apart. The variance of
    the sum of these is taken from their lowest cosine waves, so it holds what is slow, too: the
    equal-weighted cosine estimate with its Student distribution (Müller 2004, "A theory of robust
    long-run variance estimation"; Lazarus et al. 2018, "HAR inference", eq. 8 and 10).

    Args:
        candidate: A sample for each run and round, (runs, rounds).
        calibration: The other network's sample of the same rounds.
        level: Of how many intervals the truth shall be in.

    Returns:
        Infinite for fewer than two rounds.
    """
    runs, rounds = candidate.shape
    if rounds < 2:
        return np.full(runs, math.inf)
    waves = _cosines(rounds)
    pulls = (_influence(candidate) - _influence(calibration)) @ waves.T  # (runs, waves)
    variance = np.mean(pulls**2, axis=1)
    widths: Array = np.sqrt(variance / rounds) * student(1 - (1 - level) / 2, freedom=len(waves))
    return widths


@lru_cache(maxsize=64)
def student(share: float, *, freedom: int) -> float:
    """The quantile of Student's distribution, to 1 % from 4 degrees of freedom on.

    Source: Abramowitz and Stegun 1964, formula 26.7.5.

    >>> round(student(0.975, freedom=10), 2)
    2.23
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _quartiles(samples: Array) -> Array:
    quartiles: Array = np.quantile(samples, SHARE, axis=1)
    return quartiles


def _influence(samples: Array) -> Array:
    """By how much each sample moves the logarithm of the lower quartile, times the rounds."""
    rounds = samples.shape[1]
    half = _bandwidth(rounds)
    low, middle, high = np.quantile(samples, [SHARE - half, SHARE, SHARE + half], axis=1)
    spread = (high - low) / (2 * half)  # 1 / density at the quartile
    relative = np.divide(spread, middle, out=np.zeros_like(spread), where=middle > 0)
    pulls: Array = relative[:, None] * (SHARE - (samples <= middle[:, None]))
    return pulls


def _bandwidth(rounds: int) -> float:
    """Around the quartile, in shares of the samples: Bofinger 1975, scaled."""
    normal = NormalDist()
    z = normal.inv_cdf(SHARE)
    optimal = (4.5 * normal.pdf(z) ** 4 / (2 * z**2 + 1) ** 2 / rounds) ** 0.2
    return min(0.2, _SPARSITY_SCALE * optimal)


@lru_cache(maxsize=64)
def _cosines(rounds: int) -> Array:
    """The lowest waves over the rounds but the constant one, (waves, rounds); orthonormal x sqrt.

    As many as Lazarus et al. 2018 advise, 0.4 rounds^(2/3), and five at least.
    """
    number = min(rounds - 1, max(_LEAST_WAVES, int(0.4 * rounds ** (2 / 3))))
    phase = math.pi * (np.arange(rounds) + 0.5) / rounds
    waves: Array = math.sqrt(2 / rounds) * np.cos(np.arange(1, number + 1)[:, None] * phase)
    return waves
