"""What came of the searches: means over seeds at marks, and when ours reached the best peer."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

SCHEMA = "archbench.search_peers/1"
_OURS = "archbench"
_GRID = 1000
_DRAWS = 2000


@dataclass(frozen=True)
class Result:
    """One search.

    Attributes:
        system: Its name.
        seed: Of the search.
        budget: CPU-seconds.
        trials: Networks whose training was begun, repeats included.
        epochs: Trained in all.
        thinking: CPU-seconds that were not training.
        shares: CPU-seconds, and the share of the true front's hypervolume from then on.
    """

    system: str
    seed: int
    budget: float
    trials: int
    epochs: int
    thinking: float
    shares: tuple[tuple[float, float], ...]

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """The share after so many CPU-seconds; 0 before the first network is known."""
        times = [time for time, _ in self.shares]
        values = np.array([0.0, *(share for _, share in self.shares)])
        return values[np.searchsorted(times, seconds, side="right")]


@dataclass(frozen=True)
class Reach:
    """When the mean of one system came to what another ended with.

    Attributes:
        goal: Share of the hypervolume to reach.
        seconds: CPU-seconds; None where it never did.
        low: Lower end of the 95 % interval, by drawing seeds again, the same for both where both
            have the same, as they then saw and were judged by the same trainings.
        high: Upper end; infinite where too many draws never reach it.
        own: When the other's mean first came to it.
    """

    goal: float
    seconds: float | None
    low: float
    high: float
    own: float


def keep(path: Path, result: Result) -> None:
    """Adds a result to a file of JSON lines."""
    with path.open("a") as file:
        file.write(json.dumps({"schema": SCHEMA, **asdict(result)}) + "\n")


def kept(path: Path) -> list[Result]:
    """The results in a file, which may not be there yet."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        entry.pop("schema")
        shares = tuple((time, share) for time, share in entry.pop("shares"))
        found.append(Result(**entry, shares=shares))
    return found


def is_peer(system: str) -> bool:
    """Whether it is not one of ours."""
    return system.split(":")[0] != _OURS


def best_peer(results: Sequence[Result]) -> str:
    """The peer whose mean share is the largest at the end."""
    peers = {result.system for result in results if is_peer(result.system)}
    return max(sorted(peers), key=lambda name: _final(_of(results, name)).mean())


def reach(results: Sequence[Result], *, ours: str, peer: str) -> Reach:
    """When the mean over seeds of ours came to the mean that a peer ended with."""
    mine, theirs = _of(results, ours), _of(results, peer)
    grid = np.linspace(0, theirs[0].budget, _GRID + 1)
    curves = np.array([result.at(grid) for result in mine])
    others = np.array([result.at(grid) for result in theirs])
    rng = np.random.default_rng(0)
    drawn = []
    is_paired = [result.seed for result in mine] == [result.seed for result in theirs]
    for _ in range(_DRAWS):
        seeds = rng.integers(len(others), size=len(others))
        same = seeds if is_paired else rng.integers(len(curves), size=len(curves))
        drawn.append(_first(grid, curves[same].mean(axis=0), others[seeds, -1].mean()))
    goal = others[:, -1].mean()
    seconds = _first(grid, curves.mean(axis=0), goal)
    low, high = np.quantile(drawn, [0.025, 0.975], method="closest_observation")
    return Reach(
        goal=float(goal),
        seconds=None if math.isinf(seconds) else seconds,
        low=float(low),
        high=float(high),
        own=_first(grid, others.mean(axis=0), goal),
    )


def text(results: Sequence[Result], *, marks: Sequence[float]) -> str:
    """A table of means and standard errors, and when ours reached the best peer."""
    head = ["system", "seeds", "trials", "epochs", "thinks, s", *(f"{mark:g}" for mark in marks)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    names = dict.fromkeys(result.system for result in results)
    for name in names:
        mine = _of(results, name)
        cells = [
            name,
            str(len(mine)),
            *(f"{np.mean([getattr(r, key) for r in mine]):.0f}" for key in ("trials", "epochs")),
            f"{np.mean([r.thinking for r in mine]):.1f}",
            *_told([result.at(np.array(marks, dtype=float)) for result in mine]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    ours = [name for name in names if not is_peer(name)]
    if ours and any(is_peer(name) for name in names):
        lines.append("")
        lines += [_reach_line(results, name) for name in ours]
    return "\n".join(lines)


def _reach_line(results: Sequence[Result], ours: str) -> str:
    peer = best_peer(results)
    found = reach(results, ours=ours, peer=peer)
    budget = _of(results, peer)[0].budget
    begin = f"{ours}: the best peer, {peer}, ends at {found.goal:.4f} after {budget:g} CPU-seconds"
    begin += f" (first there at {found.own:.0f}); "
    if found.seconds is None:
        return begin + "not reached"
    return begin + (
        f"reached after {found.seconds:.0f}, {found.seconds / budget:.2f} of its time "
        f"(95 % {found.low / budget:.2f} to {found.high / budget:.2f})"
    )


def _told(values: Sequence[np.ndarray]) -> list[str]:
    shares = np.array(values)
    means = shares.mean(axis=0)
    if len(shares) == 1:
        return [f"{mean:.3f}" for mean in means]
    errors = shares.std(axis=0, ddof=1) / math.sqrt(len(shares))
    return [f"{mean:.3f} ± {error:.3f}" for mean, error in zip(means, errors, strict=True)]


def _of(results: Sequence[Result], system: str) -> list[Result]:
    return [result for result in results if result.system == system]


def _final(results: Sequence[Result]) -> np.ndarray:
    return np.array([result.at(np.array([result.budget]))[0] for result in results])


def _first(grid: np.ndarray, values: np.ndarray, goal: float) -> float:
    """When values first come to a goal; infinite where they never do."""
    there = np.flatnonzero(values >= goal - 1e-12)
    return float(grid[there[0]]) if len(there) else math.inf
