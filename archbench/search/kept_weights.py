"""Whose weights are worth keeping, and where do they lie?

Worth keeping are the front's, and those that a second look may put there.
"""

import math
import shutil
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from archbench.analysis.front import FrontRule, pareto_front
from archbench.analysis.study import open_study
from archbench.errors import StorageError
from archbench.search.jobs import weights_path
from archbench.study.objective import costs, objective_value
from archbench.study.study_folder import CHECKPOINTS
from archbench.study.trial import TrialRecord, final_accuracies, may_be_retried

_SLACK = 0.05  # two timings of one network differ by less
_NOISE = 2.0  # standard errors by which images alone set two trainings apart


def may_reach_front(record: TrialRecord, *, rule: FrontRule, among: Sequence[TrialRecord]) -> bool:
    """Whether a trial would stand on the front if noise had been a little kinder to it.

    Its latency may turn out 5 % shorter, and its accuracy, when members of the front are trained
    again, higher than theirs by twice the standard error of a difference.
    """
    if not rule.is_eligible(record):
        return False
    others = (r for r in among if r.number != record.number and rule.is_eligible(r))
    points = [_point(record, rule=rule, slack=_SLACK, noise=_NOISE)]
    points += [_point(other, rule=rule) for other in others]
    return 0 in pareto_front(points, list(rule.objectives.values()))


def copy_weights(folder: Path, number: int, other: int, *, seed: int) -> None:
    """Gives another trial the weights of one, where they are kept; both are the same design."""
    with suppress(FileNotFoundError):
        source, place = (weights_path(folder, one, seed=seed) for one in (number, other))
        shutil.copyfile(source, place)


def remove_useless_files(
    folder: Path, *, rule: FrontRule, trials: Mapping[int, TrialRecord]
) -> None:
    """Leaves of the trials that have ended the weights of those that may stand on the front yet.

    Checkpoints are left of those that failed and may be retried.
    """
    front = rule.front(list(trials.values()))  # what no member dominates nobody does
    for number, file in _files_of_trials(folder):
        record, is_checkpoint = trials.get(number), ".checkpoint." in file.name
        if record is None or record.state == "running" or may_be_retried(record):
            continue
        if is_checkpoint or not may_reach_front(record, rule=rule, among=front):
            file.unlink(missing_ok=True)


def remove_strange_files(folder: Path, *, known: Container[int]) -> None:
    """Removes files of trials that are not known, as when an older database was put back.

    Their numbers are given to other networks from then on.
    """
    for number, file in _files_of_trials(folder):
        if number not in known:
            file.unlink(missing_ok=True)


def kept_weights(folder: Path, record: TrialRecord, *, num_seeds: int) -> dict[int, Path]:
    """Seed to weights, of a search's own trainings; were they not kept, of those that came later.

    The folder is of the study that the record is from, in which a trial has so many trainings.
    """
    home, seeds = folder / CHECKPOINTS, sorted(final_accuracies(record))
    files = {seed: weights_path(home, record.number, seed=seed) for seed in seeds}
    own = {seed: file for seed, file in files.items() if seed < num_seeds}
    if own and all(file.exists() for file in own.values()):
        return own
    return {seed: file for seed, file in files.items() if seed not in own and file.exists()}


def earlier_weights(
    record: TrialRecord,
    *,
    header: Mapping[str, Any],
    num_seeds: int,
    seen: frozenset[Path] = frozenset(),
) -> dict[int, Path]:
    """``kept_weights`` in the study that a trial was taken from, or that took it from in turn.

    None where that study has changed. The header is that of the study that took it; in the folders
    that were seen nobody looks again.
    """
    number = record.origin.rpartition(":")[2]
    mine = final_accuracies(record)
    for folder in (f for f in earlier_folders(record, header=header) if f not in seen):
        try:
            study = open_study(folder)
        except StorageError:
            continue
        for old in study.trials():
            known = final_accuracies(old)
            is_same = old.digest == record.digest and all(
                known.get(seed) == mine[seed] for seed in mine if seed < num_seeds
            )
            if str(old.number) == number and is_same:
                found = kept_weights(folder, old, num_seeds=num_seeds)
                return found or earlier_weights(
                    old, header=study.header, num_seeds=num_seeds, seen=seen | {folder}
                )
    return {}


def earlier_folders(record: TrialRecord, *, header: Mapping[str, Any]) -> Iterator[Path]:
    """Where the study lay that a trial was taken from."""
    study = record.origin.rpartition(":")[0]
    for source in header.get("sources", ()):
        if record.origin and source["study"] == study:
            yield Path(source["path"])


def _files_of_trials(folder: Path) -> Iterator[tuple[int, Path]]:
    """Checkpoints and weights, with the number of their trial."""
    for file in folder.glob("trial-*-seed-*"):
        number = file.name.split("-")[1]
        if number.isdecimal():
            yield int(number), file


def _point(
    record: TrialRecord, *, rule: FrontRule, slack: float = 0.0, noise: float = 0.0
) -> tuple[float, ...]:
    values = []
    for name in rule.objectives:
        value = objective_value(record, name) or 0.0
        if name in costs("latency"):
            value *= 1 - slack
        if name == "proxy_accuracy":
            value += noise * math.sqrt(2 * value * (1 - value) / rule.num_validation)
        values.append(value)
    return tuple(values)
