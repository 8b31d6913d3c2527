"""How does a new study come to be, with what earlier ones know: read, timed, written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.rule import FrontRule
from archbench.analysis.source import source_in_words
from archbench.search import events, optuna_mirror
from archbench.search.earlier import Earlier, Match, read_earlier
from archbench.search.job import Engine
from archbench.search.jobs import Call, time_alone, weights_path
from archbench.search.kept_weights import kept_weights, may_reach_front
from archbench.search.optuna_mirror import Ledger
from archbench.search.proposer import finished_trial
from archbench.search.scheduler import finish
from archbench.search.settings import Request
from archbench.search.warm_start import Heir, Inheritance, inherit
from archbench.space import Choices, SearchSpace, choices_for
from archbench.study import folder as owner
from archbench.study.environment import Environment
from archbench.study.measurement import Measurement

if TYPE_CHECKING:
    from archbench.evaluate.target import Target
    from archbench.search.interruption import Interruption
    from archbench.train.plan import Plan

_SECONDS_EACH = 120.0


def read_sources(request: Request, *, listener: events.Listener) -> tuple[Earlier, ...]:
    """The earlier studies that a search starts from, none of which is written.

    Raises:
        UsageError: One has nothing in common with the space.
        StorageError: One cannot be read.
    """
    for path in request.sources:
        listener(events.StageChanged(text=f"reading the study {path}"))
    return tuple(read_earlier(path, space=request.space) for path in request.sources)


def known_plan(
    earlier: Sequence[Earlier], *, request: Request, environment: Environment
) -> Plan | None:
    """How trainings are computed, from the first study that found it on this very machine.

    Chosen anew by measuring it could come out otherwise, and nothing would be comparable.
    """
    from archbench.train.plan import Plan

    for found in earlier:
        header = found.study.header
        begun = Environment(**header["environment"])
        if begun.id == environment.id and header["proxy"]["device"] == request.training_device:
            return Plan(**header["plan"])
    return None


def take_over(
    earlier: Sequence[Earlier],
    *,
    request: Request,
    header: Mapping[str, Any],
    target: Target | None,
    engine: Engine,
    interruption: Interruption,
    listener: events.Listener,
    dry_run: bool,
) -> Inheritance:
    """What a new study takes from earlier ones; latencies are taken here where they must be.

    Args:
        earlier: The studies.
        request: The new search.
        header: Of the new study.
        target: What latency is taken on, or None.
        engine: Where it is taken; it runs nothing else.
        interruption: Whether somebody wants it to stop.
        listener: Told what happens.
        dry_run: Whether to time nothing; what would be timed is then told, and not taken.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
    """

    def timer(matches: Sequence[Match]) -> Mapping[str, Measurement]:
        number = len(matches)
        what = f"{number} earlier candidate{'s' if number > 1 else ''}, trained but not timed here"
        if dry_run:
            listener(events.StageChanged(text=f"{what}, would be timed first"))
            return {}
        found: dict[str, Measurement] = {}
        for done, match in enumerate(matches):
            listener(events.StageChanged(text=f"timing {what}: {done + 1} of {number}"))
            found |= _timed(match, target=target, engine=engine, interruption=interruption)
        return found

    found = inherit(earlier, request=request, header=header, timer=timer)
    if len(found.heirs) >= request.trials:
        told = f"all {request.trials} trials are there already and none will be trained"
        listener(events.Warned(text=f"{told}: ask for more with --trials"))
    return found


def in_words(inheritance: Inheritance) -> tuple[str, ...]:
    """What is taken from each earlier study, a sentence each."""
    return tuple(source_in_words(source) for source in inheritance.sources)


def create(
    request: Request,
    *,
    header: Mapping[str, Any],
    environment: Environment,
    inheritance: Inheritance,
    target: Target | None,
    listener: events.Listener,
) -> None:
    """Makes the folder of a new study with all that it takes over, whole or not at all.

    The machine's block table is copied, so that predictions stay as they are. Weights are linked,
    or copied from another disk, of trials that may stand on the front.

    Args:
        request: The new search.
        header: Of the new study, but for what is taken over.
        environment: The machine and software.
        inheritance: What is taken over.
        target: What latency is taken on, or None.
        listener: Warned of trials on the front whose weights are gone, and so cannot be tested.

    Raises:
        StorageError: The folder cannot be written, or is there.
    """
    from archbench.evaluate.predictor import keep_stored

    untested: list[str] = []

    def fill(folder: Path) -> None:
        (folder / owner.SPACE).write_text(request.space.text)
        document = json.dumps({"id": environment.id, **asdict(environment)}, indent=2)
        (folder / owner.ENVIRONMENT).write_text(document + "\n")
        if target is not None:
            keep_stored(folder / owner.BLOCKS, target=target)
        whole = {**header, **inheritance.header(request)}
        optuna_mirror.create(folder / owner.DATABASE, header=whole)
        untested.extend(_write(folder, inheritance, request=request))

    owner.create_folder(request.path.parent, request.name, fill=fill)
    if untested:
        told = f"the weights of {', '.join(untested)} are gone, so they cannot be tested"
        listener(events.Warned(text=f"{told} should they stand on the front"))


def first_choices(space: SearchSpace, header: Mapping[str, Any]) -> list[Choices]:
    """The candidates that a study tries before any of its sampler's."""
    from archbench.models import as_spec

    found = (
        choices_for(space, as_spec(entry["spec"]), known=entry["choices"])
        for entry in header.get("start", ())
    )
    return [choices for choices in found if choices is not None]


def _write(folder: Path, inheritance: Inheritance, *, request: Request) -> list[str]:
    """Writes the trials and brings their weights; whose weights are gone though they may count."""
    num_seeds = request.space.proxy.seeds
    with Ledger(folder / owner.DATABASE) as study:
        for heir in inheritance.heirs:
            record = heir.record
            trial = finished_trial(
                request.space,
                heir.match.choices,
                number=record.number,
                digest=record.digest,
                state=study.told_as(record),
                values=study.values(record),
            )
            study.take(record, taken=heir.taken, trial=trial)
        rule = FrontRule.of(study.store.header(), place=str(request.path))
    records = [heir.record for heir in inheritance.heirs]
    return [
        heir.record.origin
        for heir in inheritance.heirs
        if may_reach_front(heir.record, rule=rule, among=records)
        and not _bring_weights(folder, heir, inheritance=inheritance, num_seeds=num_seeds)
        and heir.record.test_accuracy is None
    ]


def _timed(
    match: Match, *, target: Target | None, engine: Engine, interruption: Interruption
) -> dict[str, Measurement]:
    assert target is not None, "only a study with latencies times"
    job = Call(function=partial(time_alone, spec=match.spec.to_document(), target=target))
    latency = finish(engine, job, timeout_s=_SECONDS_EACH, interruption=interruption)
    return {match.spec.digest: latency}


def _bring_weights(folder: Path, heir: Heir, *, inheritance: Inheritance, num_seeds: int) -> bool:
    """Whether weights to test a trial by lie in the new folder now."""
    source = Path(inheritance.sources[heir.source]["path"])
    found = kept_weights(source, heir.match.record, num_seeds=num_seeds)
    for seed, old in found.items():
        try:
            _link(old, weights_path(folder / owner.CHECKPOINTS, heir.record.number, seed=seed))
        except FileNotFoundError:
            return False  # the earlier study has put it away just now
    return bool(found)


def _link(old: Path, new: Path) -> None:
    """The same file under a second name; a copy where the file system has no such thing."""
    with suppress(OSError):
        os.link(old, new)
        return
    shutil.copyfile(old, new)
