"""Which engine runs the steps of a confirmation: a fresh one for timing, any for the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from archbench.search.job import Engine
from archbench.search.settings import ENGINES, Request


class EnginePool:
    """One engine at a time; a fresh one takes the place of the one before.

    Args:
        make: Makes an engine of so many workers.
        workers: Trainings at a time.
        engine: One that is there already and runs nothing, or None.
    """

    def __init__(
        self, make: Callable[[int], Engine], *, workers: int, engine: Engine | None = None
    ) -> None:
        self._make = make
        self._workers = workers
        self._engine = engine

    def fresh(self) -> Engine:
        """A new process alone on the machine, for timing."""
        self.stop()
        self._engine = self._make(1)
        return self._engine

    def training(self) -> Engine:
        """As many workers as there may be."""
        if self._engine is None or self._engine.workers != self._workers:
            self.stop()
            self._engine = self._make(self._workers)
        return self._engine

    def any(self) -> Engine:
        """Whatever is there."""
        return self._engine or self.training()

    def stop(self) -> None:
        """Ends what runs."""
        if self._engine is not None:
            self._engine.stop()
            self._engine = None


def make_engine(request: Request, *, workers: int, logs: Path) -> Engine:
    """An engine for what was asked for.

    Args:
        request: What was asked for.
        workers: Jobs at a time.
        logs: Folder for what they print.
    """
    engine: Engine = ENGINES.load("local").make(
        workers=workers,
        threads=request.space.target.threads,
        memory_bytes=request.worker_memory_bytes(workers=workers),
        logs=logs,
    )
    return engine
