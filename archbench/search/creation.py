"""How does the folder of a new study come to be, with what it takes from earlier ones?"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from archbench.search import optuna_mirror
from archbench.search.confirmation import REPEATS_TAKEN_OVER, spent_on_repeats
from archbench.search.context import StudyContext
from archbench.search.jobs import weights_path
from archbench.search.kept_weights import kept_weights, may_reach_front
from archbench.search.optuna_mirror import Ledger
from archbench.search.proposer import finished_trial
from archbench.search.warm_start import InheritedTrial, WarmStart
from archbench.study import folder as owner


def create(context: StudyContext, start: WarmStart) -> None:
    """Makes the folder of a new study with all that it takes over, whole or not at all.

    The machine's block table is copied, so that predictions stay as they are. Weights are linked,
    or copied from another disk, of trials that may stand on the front. Warned is of trials on the
    front whose weights are gone, and so cannot be tested.

    Raises:
        StorageError: The folder cannot be written, or is there.
    """
    from archbench.evaluate.predictor import keep_stored

    settings, untested = context.settings, list[str]()

    def fill(folder: Path) -> None:
        (folder / owner.SPACE).write_text(settings.space.text)
        document = context.environment.document()
        (folder / owner.ENVIRONMENT).write_text(json.dumps(document, indent=2) + "\n")
        if context.target is not None:
            keep_stored(folder / owner.BLOCKS, target=context.target)
        header = {**context.header, **warm_start_entries(context, start)}
        optuna_mirror.create(folder / owner.DATABASE, header=header)
        untested.extend(_write(context, folder, start))

    owner.create_folder(settings.path.parent, settings.name, fill=fill)
    if untested:
        told = f"the weights of {', '.join(untested)} are gone, so they cannot be tested"
        context.warn(f"{told} should they stand on the front")


def warm_start_entries(context: StudyContext, start: WarmStart) -> dict[str, Any]:
    """What the new study's header keeps of what it takes over; nothing without a source."""
    if not start.sources:
        return {}
    space = context.settings.space
    records = [trial.record for trial in start.inherited]
    return {
        "sources": [dict(source) for source in start.sources],
        "origins": {str(record.number): record.origin for record in records},
        REPEATS_TAKEN_OVER: sum(
            spent_on_repeats(record, own=space.proxy.seeds) for record in records
        ),
        "start": [
            {"choices": space.values(match.choices), "spec": match.spec.to_document()}
            for match in start.first
        ],
    }


def _write(context: StudyContext, folder: Path, start: WarmStart) -> list[str]:
    """Writes the trials and brings their weights; whose weights are gone though they may count."""
    with Ledger(folder / owner.DATABASE) as study:
        for trial in start.inherited:
            record = trial.record
            stored = finished_trial(
                context.settings.space,
                trial.match.choices,
                number=record.number,
                digest=record.digest,
                state=study.told_as(record),
                values=study.values(record),
            )
            study.take(record, taken=trial.taken, trial=stored)
    records = [trial.record for trial in start.inherited]
    return [
        trial.record.origin
        for trial in start.inherited
        if may_reach_front(trial.record, rule=context.rule, among=records)
        and not _bring_weights(context, folder, trial)
        and trial.record.test_accuracy is None
    ]


def _bring_weights(context: StudyContext, folder: Path, trial: InheritedTrial) -> bool:
    """Whether weights to test a trial by lie in the new folder now."""
    source = trial.match.study.path.resolve()
    num_seeds = context.settings.space.proxy.seeds
    found = kept_weights(source, trial.match.record, num_seeds=num_seeds)
    for seed, old in found.items():
        try:
            _link(old, weights_path(folder / owner.CHECKPOINTS, trial.record.number, seed=seed))
        except FileNotFoundError:
            return False  # the earlier study has put it away just now
    return bool(found)


def _link(old: Path, new: Path) -> None:
    """The same file under a second name; a copy where the file system has no such thing."""
    with suppress(OSError):
        os.link(old, new)
        return
    shutil.copyfile(old, new)
