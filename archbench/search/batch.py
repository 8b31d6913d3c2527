"""Many trainings side by side: what a worker does, and how they are handed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.search.job import Broken
from archbench.study.trial import CurvePoint

if TYPE_CHECKING:
    from archbench.evaluate import Proxy
    from archbench.search.interruption import Interruption
    from archbench.search.job import Engine, Job, Report, Send

_LOOK_EVERY_S = 0.25


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One training of one network; goes on where an interrupted one stood.

    Attributes:
        number: Among those that are run together.
        spec: The network as a document.
        proxy: What its accuracy is taken on.
        seed: Which training.
        checkpoint: Its file.
    """

    number: int
    spec: Mapping[str, Any]
    proxy: Proxy
    seed: int
    checkpoint: Path

    def run(self, send: Send) -> float:
        """Sends each point when its checkpoint is durable, and notes; gives the accuracy."""
        from archbench.evaluate import as_spec

        def tell(point: CurvePoint, path: Path, sha256: str) -> None:
            send(point)

        return self.proxy.train(
            as_spec(self.spec),
            seed=self.seed,
            checkpoint=self.checkpoint,
            sha256=None,
            weights=None,
            on_point=tell,
            on_note=send,
        )


def run_all(
    engine: Engine,
    jobs: Sequence[Job],
    *,
    timeout_s: float,
    interruption: Interruption,
    heard: Callable[[Report], None],
) -> None:
    """Runs jobs, as many at a time as the engine has workers.

    A job whose worker somebody killed is begun once more before that is told.

    Args:
        engine: Runs nothing else.
        jobs: Each with a number of its own.
        timeout_s: Of one job.
        interruption: Whether somebody wants it to stop.
        heard: Told every report.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
    """
    todo = list(jobs)
    by_number = {job.number: job for job in jobs}
    spared = set[int]()
    while todo or engine.running:
        while todo and len(engine.running) < engine.workers:
            engine.start(todo.pop(0), timeout_s=timeout_s)
        for report in engine.poll(_LOOK_EVERY_S):
            is_killed = isinstance(report, Broken) and report.from_outside
            if is_killed and report.number not in spared:
                spared.add(report.number)
                todo.insert(0, by_number[report.number])
                continue
            heard(report)
        if interruption.signal_number is not None:
            engine.stop()
            raise KeyboardInterrupt
