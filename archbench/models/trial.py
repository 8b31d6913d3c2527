"""Which form of a layer is fastest where it stands?

Each form is timed inside the network that it belongs to, with the caches as they are there:
alone and repeated, a layer finds its weights in the cache and packing seems to gain nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

MARGIN = 0.02
MAX_ROUNDS = 12
KEPT_ROUNDS = 2 * MAX_ROUNDS
"""Of a race whose winners stay for the processes to come."""


Times = dict[str, list[float]]
"""Seconds of every run, by form."""


class Candidates(nn.Module):
    """Several forms of one layer, of which one runs and is timed.

    Args:
        forms: By name; the first is kept where none is faster by more than 2 %.
        seconds: Where times go; equal layers share one, so that they decide together.
    """

    def __init__(self, forms: dict[str, nn.Module], *, seconds: Times | None = None) -> None:
        super().__init__()
        self.forms = nn.ModuleDict(forms)
        self.names = tuple(forms)
        self.current = self.names[0]
        self.seconds: Times = {} if seconds is None else seconds
        self.forget()
        self.clock: Callable[[], float] = time.perf_counter

    def forward(self, *inputs: Tensor | None) -> Tensor:
        start = self.clock()
        output: Tensor = self.forms[self.current](*inputs)
        self.seconds[self.current].append(self.clock() - start)
        return output

    def forget(self) -> None:
        """Drops all times."""
        self.seconds.update({name: [] for name in self.names})

    def quartiles(self) -> dict[str, float]:
        """The lower quartile of the seconds of each form."""
        return {name: sorted(times)[len(times) // 4] for name, times in self.seconds.items()}

    def fastest(self) -> str:
        """The name of the form to keep."""
        quartiles = self.quartiles()
        best = min(self.names, key=quartiles.__getitem__)
        is_clear = quartiles[best] < quartiles[self.names[0]] * (1 - MARGIN)
        return best if is_clear else self.names[0]


def race(
    network: nn.Module,
    example: Tensor,
    *,
    candidates: Sequence[Candidates],
    clock: Callable[[], float],
    budget_s: float,
    rounds: int = MAX_ROUNDS,
) -> None:
    """Runs the network with every form of every candidate, in turn, until the time is up.

    At least two rounds behind one that warms up, at most as many as told.
    """
    if not candidates:
        return
    forms = max(len(candidate.names) for candidate in candidates)
    start = time.perf_counter()
    for round_ in range(rounds + 1):
        for form in range(forms):
            for candidate in candidates:
                candidate.clock = clock
                candidate.current = candidate.names[form % len(candidate.names)]
            network(example)
        if round_ == 0:
            for candidate in candidates:
                candidate.forget()
        elif round_ >= 2 and time.perf_counter() - start > budget_s:
            return


def clock_of(example: Tensor) -> Callable[[], float]:
    """CPU time of this thread where it does all the work, else the time that passes."""
    if example.is_cuda:

        def synchronised() -> float:
            torch.cuda.synchronize(example.device)
            return time.perf_counter()

        return synchronised
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
