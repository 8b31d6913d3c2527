"""Timings of two networks with known truth, on a machine that drifts, spikes and remembers."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

KINDS = ("quiet", "drift", "state", "spikes", "skew", "memory", "all")


def timings(
    kind: str, *, runs: int, rounds: int, seed: int, networks: int = 2, noise: float = 0.03
) -> list[Array]:
    """Samples of each network, (runs, rounds); the true ratio of any two of them is 1.

    Args:
        kind: What disturbs: ``drift`` of the clock by up to 15 % with a wave upon it; a ``state``
            that comes and goes; ``spikes`` in a tenth of the passes, by 70 % on average; ``skew``
            to the slow side; ``memory`` of 0.4 from pass to pass of each network; or ``all``.
        runs: How many runs.
        rounds: Passes of each network in a run.
        seed: Of the draws.
        networks: How many take part.
        noise: Standard deviation of a pass.
    """
    drawn = np.random.default_rng(seed)
    time = np.linspace(0.0, 1.0, rounds)
    common = np.zeros((runs, rounds))
    if kind in {"drift", "all"}:
        waves = np.sin(2 * np.pi * (time * drawn.uniform(0.5, 3, (runs, 1)) + drawn.uniform(0, 1)))
        common += drawn.uniform(-0.15, 0.15, (runs, 1)) * time
        common += drawn.uniform(0, 0.05, (runs, 1)) * waves
    if kind in {"state", "all"}:
        common += _remembering(drawn, runs, rounds, memory=0.9, deviation=0.03)
    found = []
    for _ in range(networks):
        memory = 0.4 if kind in {"memory", "all"} else 0.0
        own = _remembering(drawn, runs, rounds, memory=memory, deviation=noise)
        samples = np.exp(common + own)
        if kind in {"spikes", "all"}:
            spikes = drawn.random((runs, rounds)) < 0.1
            samples *= 1 + spikes * drawn.exponential(0.7, (runs, rounds))
        if kind == "skew":
            samples *= 1 + drawn.exponential(0.05, (runs, rounds))
        found.append(samples)
    return found


def _remembering(
    drawn: np.random.Generator, runs: int, rounds: int, *, memory: float, deviation: float
) -> Array:
    """Normal draws of which neighbours correlate by the memory, (runs, rounds)."""
    values: Array = drawn.standard_normal((runs, rounds)) * deviation
    for index in range(1, rounds):
        values[:, index] = memory * values[:, index - 1] + np.sqrt(1 - memory**2) * values[:, index]
    return values
