"""Find the front of a space: prepare, search, confirm, and park whenever somebody wants it."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.analysis.rule import FrontRule
from archbench.analysis.study import StudyReader, open_study
from archbench.search import events, optuna_mirror
from archbench.search.certificate_first import First
from archbench.search.confirming import Confirming
from archbench.search.derived import DerivedTables
from archbench.search.growth import grow
from archbench.search.interruption import Interruption, ParkedError, interruptions
from archbench.search.optuna_mirror import Ledger
from archbench.search.pool import make_engine
from archbench.search.prediction import predictor
from archbench.search.preparation import Grounds, check_data, prepare, prepared, restore
from archbench.search.proposer import Proposal, Proposer, choices_of
from archbench.search.pruning import PRUNERS, Referee
from archbench.search.sampler import load_sampler
from archbench.search.settings import Request, as_begun, requested, space_of
from archbench.search.succession import (
    create,
    first_choices,
    in_words,
    known_plan,
    read_sources,
    take_over,
)
from archbench.search.trials import AllFailedError, Loop, Plan
from archbench.space import Choices, SearchSpace
from archbench.study import folder
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from archbench.models import ArchSpec
    from archbench.search.job import Engine


def search(
    space: SearchSpace | str | Path,
    *,
    trials: int | None = None,
    epochs: int | None = None,
    time_limit_s: float | None = None,
    name: str | None = None,
    results: Path = Path("results"),
    resume: bool = False,
    data: str | None = None,
    workers: int | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    download: bool = False,
    confirm_budget: str | None = None,
    certify: bool | None = None,
    dry_run: bool = False,
    start_from: Sequence[str | Path] = (),
    on_event: events.Listener | None = None,
) -> StudyReader | None:
    """Searches a space for the front of accuracy and cost, and gives the study.

    Each candidate is counted, timed on the target, held against the limits and trained on the
    proxy, in child processes. All that is known of a trial is stored as it comes, so the search
    may be killed at any moment and resumed. Ctrl-C parks it.

    Args:
        space: A space, its file, or the name of one that the package ships.
        trials: Trials that the study shall have, those before it was resumed and those stopped
            early included.
        epochs: Epochs trained in all after which no trial is begun; in place of the space's
            trials, so that what is not spent on hopeless candidates goes to others.
        time_limit_s: Seconds of this run after which no trial is begun; those that run end.
        name: Of the study; the space's by default.
        results: Folder of the studies.
        resume: Whether to go on with the study of this name.
        data: Name of a data set in place of the space's.
        workers: Trials at a time; by default one for each group of cores of the target's threads.
        seed: Of proposals and trainings.
        sampler: Name of a sampler in place of the space's.
        pruner: Name of a rule for stopping early in place of the space's; ``none`` stops nothing.
        download: Whether missing data may be fetched from its home.
        confirm_budget: ``20%`` of the search's time, or a time such as ``10m``, that may be spent
            on training those in doubt again; the space says by default.
        certify: Whether a certificate of the proxy comes first; by default where the search is
            many times as long.
        dry_run: Whether to stop before the first trial; nothing is stored then.
        start_from: Folders of earlier studies, which are only read. Their trials count as done
            where network and conditions are the same, and else say where to start.
        on_event: Told what happens.

    Returns:
        The study, or None after a dry run.

    Raises:
        ParkedError: It was stopped from outside; the help says how to go on.
        AllFailedError: The first trials all failed for the same reason.
        ArchbenchError: Space, data, device or storage cannot be used.
    """
    if not isinstance(space, SearchSpace):
        space = SearchSpace.load(space)
    request = requested(
        space,
        trials=trials,
        epochs=epochs,
        time_limit_s=time_limit_s,
        name=name,
        results=results,
        data=data,
        workers=workers,
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        download=download,
        sources=[Path(path) for path in start_from],
        resume=resume,
        confirm_budget=confirm_budget,
        certify=certify,
    )
    listener = on_event or events.ignore
    optuna_mirror.quiet_optuna()
    with interruptions() as interruption, tempfile.TemporaryDirectory() as logs:
        try:
            if resume:
                _resume(request, listener=listener, interruption=interruption, logs=Path(logs))
            elif not _begin(
                request,
                listener=listener,
                interruption=interruption,
                logs=Path(logs),
                dry_run=dry_run,
            ):
                return None
        except KeyboardInterrupt:
            raise _parked(request, interruption) from None
    return open_study(request.path)


def _begin(
    request: Request,
    *,
    listener: events.Listener,
    interruption: Interruption,
    logs: Path,
    dry_run: bool,
) -> bool:
    """A new study, searched; False after a dry run."""
    from archbench.evaluate import capture_environment

    if not dry_run:
        folder.refuse_existing(request.path)
        folder.require_writable(request.path.parent)
    environment = capture_environment()
    earlier = read_sources(request, listener=listener)
    with _engine(request, left=request.trials, logs=logs) as engine:
        grounds, header = prepare(
            request,
            environment=environment,
            engine=engine,
            interruption=interruption,
            listener=listener,
            plan=known_plan(earlier, request=request, environment=environment),
        )
        found = take_over(
            earlier,
            request=request,
            header=header,
            target=grounds.target,
            engine=engine,
            interruption=interruption,
            listener=listener,
            dry_run=dry_run,
        )
        done, told = len(found.heirs), in_words(found)
        listener(prepared(request, grounds, done=done, workers=engine.workers, sources=told))
        First(
            request=request,
            grounds=grounds,
            header=header,
            environment=environment,
            interruption=interruption,
            listener=listener,
        ).certify(engine, dry_run=dry_run)
        if dry_run:
            return False
        create(
            request,
            header=header,
            environment=environment,
            inheritance=found,
            target=grounds.target,
            listener=listener,
        )
        with folder.ownership(request.path), Ledger(request.path / folder.DATABASE) as study:
            run = _Run(
                request=request,
                grounds=grounds,
                study=study,
                listener=listener,
                interruption=interruption,
                logs=logs,
            )
            run.go(engine)
    return True


def _resume(
    request: Request, *, listener: events.Listener, interruption: Interruption, logs: Path
) -> None:
    """An existing study, searched on."""
    from archbench.evaluate import capture_environment

    with folder.ownership(request.path), Ledger(request.path / folder.DATABASE) as study:
        folder.tidy(request.path)
        header = study.store.header()
        grounds = restore(header, environment=capture_environment(), place=str(request.path))
        request = as_begun(request, header)
        if request.space.text != header["space_text"]:
            listener(events.StageChanged(text="finding the study's trials in the new space"))
            own = space_of(header, path=request.path)
            grow(study, request.space, before=own, record_of=partial(_record_of_trial, own))
            header = study.store.header()
            grounds = restore(header, environment=capture_environment(), place=str(request.path))
        done = len(study.trials) - len(study.running)
        with _engine(request, left=max(1, request.trials - done), logs=logs) as engine:
            check_data(
                request,
                proxy=grounds.proxy,
                kept=header["proxy"],
                engine=engine,
                interruption=interruption,
                listener=listener,
            )
            listener(prepared(request, grounds, done=done, workers=engine.workers))
            for key, budget in (("trials", request.trials), ("epochs", request.epochs)):
                if budget != header.get(key):
                    study.store.set_header(key, budget)
            run = _Run(
                request=request,
                grounds=grounds,
                study=study,
                listener=listener,
                interruption=interruption,
                logs=logs,
            )
            run.go(engine)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run of a study that is owned and open."""

    request: Request
    grounds: Grounds
    study: Ledger
    listener: events.Listener
    interruption: Interruption
    logs: Path

    def go(self, engine: Engine) -> None:
        """Searches and confirms.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop.
            ArchbenchError: The study cannot go on.
        """
        begin = time.monotonic()
        tables = DerivedTables(self.request.path)
        try:
            reason = self._loop(engine, tables=tables).run()
            Confirming(
                request=self.request,
                grounds=self.grounds,
                study=self.study,
                listener=self.listener,
                interruption=self.interruption,
                logs=self.logs,
            ).run(engine)
        except (KeyboardInterrupt, AllFailedError):
            engine.stop()
            self._close(tables, begin=begin)
            raise
        self._close(tables, begin=begin)
        self.listener(
            events.Finished(path=self.request.path, reason=reason, seconds=time.monotonic() - begin)
        )

    def _close(self, tables: DerivedTables, *, begin: float) -> None:
        store = self.study.store
        seconds = float(store.header()["seconds"]) + time.monotonic() - begin
        store.set_header("seconds", seconds)
        tables.write()
        store.back_up()

    def _loop(self, engine: Engine, *, tables: DerivedTables) -> Loop:
        space, request = self.request.space, self.request
        proposer = Proposer(
            space,
            sampler=load_sampler(request.sampler),
            seed=request.seed,
            directions=list(space.objectives.values()),
            first=first_choices(space, self.study.store.header()),
            predict=predictor(request, target=self.grounds.target, listener=self.listener),
        )
        found = self.study.mend(partial(_record_of_trial, space))
        records = [self.study.trials[trial.number] for trial in found]
        proposer.restore(
            (trial, record.digest, self.study.knowledge(record))
            for trial, record in zip(found, records, strict=True)
        )
        return Loop(
            Plan(
                trials=request.trials,
                epochs=request.epochs,
                time_limit_s=request.time_limit_s,
                timeout_s=space.search.timeout_s,
                trial_seconds=self.grounds.trial_seconds,
                proxy=self.grounds.proxy,
                target=self.grounds.target,
                latency_limit_ms=space.limits.get("latency_ms"),
                checkpoints=request.path / folder.CHECKPOINTS,
                size=space.size(),
            ),
            ledger=self.study,
            engine=engine,
            proposer=proposer,
            record_of=self._record_of_proposal,
            rule=self._rule(),
            referee=Referee(
                pruner=PRUNERS.load(request.pruner),
                rule=self._rule(),
                rungs=self.grounds.proxy.recipe.rungs,
                num_seeds=self.grounds.proxy.num_seeds,
                audit=space.search.audit,
                seed=request.seed,
            ),
            tables=tables,
            interruption=self.interruption,
            listener=self.listener,
        )

    def _rule(self) -> FrontRule:
        return FrontRule.of(self.study.store.header(), place=str(self.request.path))

    def _record_of_proposal(self, proposal: Proposal) -> TrialRecord:
        return _record(
            self.request.space, proposal.number, choices=proposal.choices, spec=proposal.spec
        )


@contextmanager
def _engine(request: Request, *, left: int, logs: Path) -> Iterator[Engine]:
    workers = request.num_workers(left=left)
    engine = make_engine(request, workers=workers, logs=logs)
    try:
        yield engine
    finally:
        engine.stop()


def _record_of_trial(space: SearchSpace, trial: FrozenTrial) -> TrialRecord:
    choices = choices_of(space, trial.params)
    return _record(space, trial.number, choices=choices, spec=space.decode(choices))


def _record(space: SearchSpace, number: int, *, choices: Choices, spec: ArchSpec) -> TrialRecord:
    from archbench.models import count

    counted = count(spec)
    return TrialRecord(
        number=number,
        state="running",
        digest=spec.digest,
        choices=space.values(choices),
        spec=spec.to_document(),
        params=counted.params,
        macs=counted.macs,
        activations=counted.activations,
    )


def _parked(request: Request, interruption: Interruption) -> ParkedError:
    number = interruption.signal_number or signal.SIGINT
    if not (request.path / folder.DATABASE).is_file():
        return ParkedError(
            "stopped before the first trial, with nothing stored",
            help="type the same command to begin again",
            signal_number=number,
        )
    return ParkedError(
        "the search is parked; what was running goes on from its last checkpoint",
        place=str(request.path),
        help=f"resume it with: {folder.resume_command(request.path)}",
        signal_number=number,
    )
