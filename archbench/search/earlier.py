"""What of an earlier study lies in the space that is to be searched now?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.analysis.study import StudyReader, open_study
from archbench.errors import ArchbenchError, SpecError, UsageError
from archbench.search.context import StudyContext
from archbench.search.settings import space_of
from archbench.space import Choices, SearchSpace, candidate_changes, choices_for
from archbench.study.environment import Environment
from archbench.study.trial import Taken, TrialRecord

if TYPE_CHECKING:
    from archbench.models import ArchSpec
    from archbench.train.plan import Plan

_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Match:
    """A trial of an earlier study and the candidate that it is now.

    Attributes:
        study: The earlier one.
        record: The trial, as it stood when it was read.
        taken: Its measurements in the order taken.
        choices: Of the candidate in the space of now.
        spec: The candidate; its resolution and number of classes are those of now.
    """

    study: StudyReader
    record: TrialRecord
    taken: tuple[Taken, ...]
    choices: Choices
    spec: ArchSpec

    @property
    def is_same(self) -> bool:
        """Whether it is the very network, resolution and classes included."""
        return self.spec.digest == self.record.digest


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier study, read at one moment; it may go on meanwhile.

    Attributes:
        study: The study.
        matches: Those of its trials that are candidates now, by number.
        num_outside: How many of its trials are none.
    """

    study: StudyReader
    matches: tuple[Match, ...]
    num_outside: int


def read_sources(context: StudyContext) -> tuple[Earlier, ...]:
    """The earlier studies that a search starts from, none of which is written.

    Raises:
        UsageError: One has nothing in common with the space.
        StorageError: One cannot be read.
    """
    settings = context.settings
    for path in settings.sources:
        context.say(f"reading the study {path}")
    return tuple(read_earlier(path, space=settings.space) for path in settings.sources)


def read_earlier(path: Path, *, space: SearchSpace) -> Earlier:
    """An earlier study, held against a space.

    Raises:
        StorageError: There is no study, or it cannot be read.
        UsageError: It has no trial yet, or none of its trials is a candidate of the space; said
            is what differs.
    """
    study = open_study(path)
    trials = study.trials()
    if not trials:
        raise UsageError(
            "the study has no trial yet",
            place=f"--from {path}",
            help="wait until it has some, or leave out --from",
        )
    measured: dict[int, list[Taken]] = {}
    for entry in study.taken():
        if entry.trial is not None:
            measured.setdefault(entry.trial, []).append(entry)
    found = [
        match
        for record in trials
        if (match := _match(study, record, tuple(measured.get(record.number, ())), space=space))
    ]
    if not found:
        raise UsageError(
            f"none of the {len(trials)} trials of {study.name} is a candidate of the space "
            f"{space.name}: {'; '.join(_space_differences(study, space))}",
            place=f"--from {path}",
            help="name a study of a like space, widen this one by that study's values, or leave "
            "out --from",
        )
    return Earlier(study=study, matches=tuple(found), num_outside=len(trials) - len(found))


def known_plan(context: StudyContext, earlier: Sequence[Earlier]) -> Plan | None:
    """How trainings are computed, from the first study that found it on this very machine.

    Chosen anew by measuring it could come out otherwise, and nothing would be comparable.
    """
    from archbench.train.plan import Plan

    for found in earlier:
        header = found.study.header
        is_here = Environment(**header["environment"]).id == context.environment.id
        if is_here and header["proxy"]["device"] == context.settings.training_device:
            return Plan(**header["plan"])
    return None


def _match(
    study: StudyReader, record: TrialRecord, taken: tuple[Taken, ...], *, space: SearchSpace
) -> Match | None:
    from archbench.models import as_spec

    base = {key: space.base[key] for key in ("resolution", "num_classes")}
    try:
        wanted = as_spec({**record.spec, **base})
        choices = choices_for(space, wanted, known=record.choices)
    except SpecError:
        return None
    if choices is None:
        return None
    spec = space.decode(choices)
    return Match(study=study, record=record, taken=taken, choices=choices, spec=spec)


def _space_differences(study: StudyReader, space: SearchSpace) -> Sequence[str]:
    """What of the two spaces differs, in words."""
    try:
        before = space_of(study.header, path=study.path)
    except (ArchbenchError, KeyError) as error:
        return [f"its own space cannot be read any more ({error})"]
    changes = [str(change) for change in candidate_changes(before, space)]
    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    return [*changes[:_SHOWN], *more] or ["the same axes come to other networks"]
