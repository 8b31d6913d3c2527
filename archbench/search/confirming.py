"""Confirms the front of a study: as the end of its search, or alone on an older one."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.analysis.rule import FrontRule
from archbench.analysis.study import StudyReader, open_study
from archbench.command_line import command_line
from archbench.search import events, optuna_mirror
from archbench.search.confirmation import Confirmation
from archbench.search.interruption import Interruption, ParkedError, interruptions
from archbench.search.optuna_mirror import Ledger
from archbench.search.pool import EnginePool, make_engine
from archbench.search.preparation import Grounds, check_data, restore
from archbench.search.repeat import search_seconds
from archbench.search.settings import Request, as_begun, requested, space_of
from archbench.study import folder

if TYPE_CHECKING:
    from archbench.search.job import Engine


@dataclass(frozen=True, kw_only=True)
class Confirming:
    """What a confirmation needs of the run that it belongs to.

    Attributes:
        request: What was asked for.
        grounds: What the study stands on.
        study: Its truth.
        listener: Told what happens.
        interruption: Whether somebody wants it to stop.
        logs: Folder for what workers print.
    """

    request: Request
    grounds: Grounds
    study: Ledger
    listener: events.Listener
    interruption: Interruption
    logs: Path

    def run(self, engine: Engine, *, is_asked_for: bool = False) -> None:
        """Confirms the front, unless that was done before.

        Args:
            engine: One that runs nothing; it is stopped.
            is_asked_for: Whether it is done whatever the space says and was done before.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop.
            StorageError: The study cannot be written.
        """
        request = self.request
        is_wanted = is_asked_for or request.space.search.confirm is not False
        took = search_seconds(list(self.study.trials.values()))
        confirmation = Confirmation(
            ledger=self.study,
            rule=FrontRule.of(self.study.store.header(), place=str(request.path)),
            proxy=self.grounds.proxy,
            target=self.grounds.target if is_wanted else None,
            checkpoints=request.path / folder.CHECKPOINTS,
            budget_s=request.confirmation_budget.of(took) if is_wanted else 0.0,
            timeout_s=request.space.search.timeout_s,
            interruption=self.interruption,
            listener=self.listener,
        )
        if confirmation.is_done and not is_asked_for:
            return
        workers = engine.workers
        pool = EnginePool(
            lambda number: make_engine(request, workers=number, logs=self.logs),
            workers=workers,
            engine=engine,
        )
        try:
            confirmation.run(pool)
        finally:
            pool.stop()


def confirm(
    path: Path | str,
    *,
    budget: str | None = None,
    workers: int | None = None,
    download: bool = False,
    on_event: events.Listener | None = None,
) -> StudyReader:
    """Confirms the front of a study that was searched before, and searches nothing.

    Candidates whose place on the front is in doubt are timed again in a fresh process and trained
    with more seeds, until the front is settled or the budget is spent. It may be killed at any
    moment and begun again: what was trained counts.

    Args:
        path: The study's folder.
        budget: ``20%`` of the search's time, or a time such as ``10m``, spent earlier included;
            the study's space says by default.
        workers: Trainings at a time; by default as in the search.
        download: Whether missing data may be fetched from its home.
        on_event: Told what happens.

    Returns:
        The study as it stands then.

    Raises:
        ParkedError: It was stopped from outside; the help says how to go on.
        ArchbenchError: The study, its data or its storage cannot be used, or it was begun on
            another machine.
    """
    path = Path(path)
    request = _request(path, budget=budget, workers=workers, download=download)
    listener = on_event or events.ignore
    optuna_mirror.quiet_optuna()
    with interruptions() as interruption, tempfile.TemporaryDirectory() as logs:
        try:
            _confirm(request, listener=listener, interruption=interruption, logs=Path(logs))
        except KeyboardInterrupt:
            raise ParkedError(
                "the confirmation is parked; what was running goes on from its last checkpoint",
                place=str(path),
                help=f"go on with: {confirm_command(path)}",
                signal_number=interruption.signal_number or signal.SIGINT,
            ) from None
    return open_study(path)


def confirm_command(path: Path) -> str:
    """What to type to confirm a study."""
    return command_line("archbench", "confirm", path)


def _request(path: Path, *, budget: str | None, workers: int | None, download: bool) -> Request:
    header = open_study(path).header
    space = space_of(header, path=path)
    request = requested(
        space,
        trials=None,
        time_limit_s=None,
        name=path.resolve().name,
        results=path.parent,
        data=None,
        workers=workers,
        seed=None,
        sampler=None,
        download=download,
        confirm_budget=budget,
    )
    return as_begun(request, header)


def _confirm(
    request: Request, *, listener: events.Listener, interruption: Interruption, logs: Path
) -> None:
    from archbench.evaluate import capture_environment
    from archbench.search.derived import DerivedTables

    with folder.ownership(request.path), Ledger(request.path / folder.DATABASE) as study:
        folder.tidy(request.path)
        header = study.store.header()
        grounds = restore(header, environment=capture_environment(), place=str(request.path))
        workers = request.num_workers(left=max(1, len(study.trials)))
        engine = make_engine(request, workers=workers, logs=logs)
        try:
            check_data(
                request,
                proxy=grounds.proxy,
                kept=header["proxy"],
                engine=engine,
                interruption=interruption,
                listener=listener,
            )
            Confirming(
                request=request,
                grounds=grounds,
                study=study,
                listener=listener,
                interruption=interruption,
                logs=logs,
            ).run(engine, is_asked_for=True)
        finally:
            engine.stop()
            DerivedTables(request.path).write()
            study.store.back_up()
