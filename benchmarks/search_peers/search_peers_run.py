"""One search that is compared: what it may spend, what it has spent, and what it has seen."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from sampler_table import Axis, Table

from archbench.space import Choices, SearchSpace

MOST_TRIALS = 1000
"""Ends a search that proposes nothing but what costs nothing."""


class Spent(Exception):  # noqa: N818  no error: the budget is used
    """The next step would go beyond the CPU-seconds."""


@dataclass(frozen=True)
class Training:
    """One training of the table.

    Attributes:
        digest: Of the network.
        choices: Axis to index.
        seed: Which training.
        macs: Of the network.
        accuracy: After each epoch.
        cpu_seconds: Of all epochs.
    """

    digest: str
    choices: Mapping[str, int]
    seed: int
    macs: int
    accuracy: tuple[float, ...]
    cpu_seconds: float


class Trainings(Protocol):
    """Who trains: a table of trainings, or this machine."""

    num_epochs: int

    def digest(self, choices: Choices) -> str:
        """Identity of a network."""

    def cost(self, choices: Choices) -> tuple[float, float]:
        """What is minimised, and the CPU-seconds to charge for knowing it."""

    def epochs(self, choices: Choices, start: int) -> Iterator[tuple[int, float, float]]:
        """Epoch, accuracy and CPU-seconds to charge, of each epoch behind ``start``."""


@dataclass
class Run:
    """The meter and the log of one search.

    CPU-seconds are those of this process, in which the search thinks, and what was charged.

    Attributes:
        trainings: Who trains.
        budget: CPU-seconds.
        keeps: Whether a network that is asked for again is answered from memory.
        clock: CPU-seconds of this process.
        begun: What the clock said when the search began.
        charged: CPU-seconds of trainings, in a replay.
        events: CPU-seconds, digest and accuracy of what became known, in order.
        trials: Proposals that were trained, wholly or in part.
        epochs_trained: Of all proposals.
    """

    trainings: Trainings
    budget: float
    keeps: bool = False
    clock: Callable[[], float] = time.process_time
    begun: float = 0.0
    charged: float = 0.0
    events: list[tuple[float, str, float]] = field(default_factory=list)
    trials: int = 0
    epochs_trained: int = 0
    _known: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """From here on it counts: libraries are loaded."""
        self.begun = self.clock()

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return self.clock() - self.begun + self.charged

    def cost(self, choices: Choices) -> float:
        """What is minimised."""
        value, price = self.trainings.cost(choices)
        self._charge(price)
        return value

    def epochs(self, choices: Choices, *, start: int = 0) -> Iterator[tuple[int, float]]:
        """Epoch and accuracy; an epoch is trained when it is asked for.

        Raises:
            Spent: The budget does not suffice for it.
        """
        for epoch, accuracy, price in self.trainings.epochs(choices, start):
            self._charge(price)
            self.epochs_trained += 1
            self.trials += epoch == 1
            yield epoch, accuracy

    def train(self, choices: Choices) -> float:
        """The last accuracy of a training to the end, which is noted."""
        digest = self.trainings.digest(choices)
        if not (self.keeps and digest in self._known):
            for _, accuracy in self.epochs(choices):
                self._known[digest] = accuracy
            self.note(choices, self._known[digest])
        return self._known[digest]

    def note(self, choices: Choices, accuracy: float) -> None:
        """This network may be picked, by this accuracy."""
        self.events.append((self.seconds, self.trainings.digest(choices), accuracy))

    def _charge(self, price: float) -> None:
        if self.seconds + price > self.budget:
            raise Spent
        self.charged += price


class Replay:
    """Trainings of a table, one of each network by chance; the others judge.

    Args:
        found: Digest to its trainings.
        axes: Names, in the order of the space.
        seed: Of the chance.
        latencies: Digest to what is minimised, ms; None for MACs.
        latency_seconds: CPU-seconds to charge for a latency.
    """

    def __init__(
        self,
        found: Mapping[str, Sequence[Training]],
        *,
        axes: Sequence[str],
        seed: int,
        latencies: Mapping[str, float] | None = None,
        latency_seconds: float = 0.0,
    ) -> None:
        rng = random.Random(f"shown {seed}")
        self._axes = axes
        self._price = latency_seconds
        self._latencies = latencies
        self.shown = {digest: rng.choice(list(found[digest])) for digest in sorted(found)}
        self._by_code = {self._code(t.choices): t for t in self.shown.values()}
        self.num_epochs = min(len(t.accuracy) for t in self.shown.values())
        self._others = {
            digest: [t for t in found[digest] if t.seed != shown.seed] or [shown]
            for digest, shown in self.shown.items()
        }

    def digest(self, choices: Choices) -> str:
        """See ``Trainings``."""
        return self._by_code[self._code(choices)].digest

    def cost(self, choices: Choices) -> tuple[float, float]:
        """See ``Trainings``."""
        return self._cost(self._by_code[self._code(choices)]), self._price

    def epochs(self, choices: Choices, start: int) -> Iterator[tuple[int, float, float]]:
        """See ``Trainings``."""
        training = self._by_code[self._code(choices)]
        share = training.cpu_seconds / len(training.accuracy)
        for epoch in range(start + 1, len(training.accuracy) + 1):
            yield epoch, training.accuracy[epoch - 1], share

    def judge(self) -> tuple[Table, dict[str, int]]:
        """All networks by the mean of the trainings that were not shown, and digest to row."""
        digests = sorted(self.shown)
        most = max(len(others) for others in self._others.values())
        accuracy = np.full((len(digests), most), np.nan)
        for row, digest in enumerate(digests):
            last = [training.accuracy[-1] for training in self._others[digest]]
            accuracy[row, : len(last)] = last
        codes = np.array([self._code(self.shown[digest].choices) for digest in digests])
        cost = np.array([self._cost(self.shown[digest]) for digest in digests])
        axes = tuple(
            Axis(name, tuple(range(codes[:, place].max() + 1)), is_ordered=True)
            for place, name in enumerate(self._axes)
        )
        table = Table("fresh seeds", axes, codes, cost, accuracy)
        return table, {digest: row for row, digest in enumerate(digests)}

    def _code(self, choices: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(choices[name] for name in self._axes)

    def _cost(self, training: Training) -> float:
        if self._latencies is None:
            return float(training.macs)
        return self._latencies[training.digest]


def read(files: Sequence[Path]) -> dict[str, list[Training]]:
    """Digest to its trainings; a last line that is still being written is left out."""
    found: dict[str, dict[int, Training]] = {}
    for file in files:
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                entry = json.loads(line)
                training = Training(
                    digest=entry["digest"],
                    choices=entry["choices"],
                    seed=entry["seed"],
                    macs=entry["macs"],
                    accuracy=tuple(entry["accuracy"]),
                    cpu_seconds=entry["cpu_seconds"],
                )
                found.setdefault(training.digest, {})[training.seed] = training
    return {digest: [of[seed] for seed in sorted(of)] for digest, of in sorted(found.items())}


def complete(space: SearchSpace, found: Mapping[str, Sequence[Training]]) -> bool:
    """Whether every network of the space was trained at least once."""
    return {space.decode(choices).digest for choices in space.enumerate()} <= set(found)


def curve(
    events: Sequence[tuple[float, str, float]], *, table: Table, rows: Mapping[str, int]
) -> list[tuple[float, float]]:
    """CPU-seconds and the share of the true front's hypervolume from then on.

    Picked are the networks that no other beats by the accuracy that the search saw last of each;
    what counts is what the judge knows of them.
    """
    observed = np.full(len(table), np.nan)
    seen: list[int] = []
    found: list[tuple[float, float]] = []
    for seconds, digest, accuracy in events:
        row = rows[digest]
        if row not in seen:
            seen.append(row)
        observed[row] = accuracy
        share = 1 - table.regret(seen, observed)
        if not found or found[-1][1] != share:
            found.append((seconds, share))
    return found
