"""What of an earlier study lies in the space that is to be searched now?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.study import StudyReader, open_study
from archbench.errors import ArchbenchError, SpecError, UsageError
from archbench.space import Choices, SearchSpace, candidate_changes, choices_for
from archbench.study.snapshot import Taken
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from archbench.models import ArchSpec

_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Match:
    """A trial of an earlier study and the candidate that it is now.

    Attributes:
        record: The trial, as it stood when it was read.
        taken: Its measurements in the order taken.
        choices: Of the candidate in the space of now.
        spec: The candidate; its resolution and number of classes are those of now.
    """

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
        strangers: How many of its trials are none.
    """

    study: StudyReader
    matches: tuple[Match, ...]
    strangers: int


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
        if (match := _match(record, tuple(measured.get(record.number, ())), space=space))
    ]
    if not found:
        raise _incompatible(study, path=path, space=space)
    return Earlier(study=study, matches=tuple(found), strangers=len(trials) - len(found))


def _match(record: TrialRecord, taken: tuple[Taken, ...], *, space: SearchSpace) -> Match | None:
    from archbench.models import as_spec

    base = {key: space.base[key] for key in ("resolution", "num_classes")}
    try:
        wanted = as_spec({**record.spec, **base})
        choices = choices_for(space, wanted, known=record.choices)
    except SpecError:
        return None
    if choices is None:
        return None
    return Match(record=record, taken=taken, choices=choices, spec=space.decode(choices))


def _incompatible(study: StudyReader, *, path: Path, space: SearchSpace) -> UsageError:
    number = len(study.trials())
    return UsageError(
        f"none of the {number} trials of {study.name} is a candidate of the space {space.name}: "
        f"{'; '.join(_differences(study, space))}",
        place=f"--from {path}",
        help="name a study of a like space, widen this one by that study's values, or leave out "
        "--from",
    )


def _differences(study: StudyReader, space: SearchSpace) -> Sequence[str]:
    """What of the two spaces differs, in words."""
    header: dict[str, Any] = dict(study.header)
    try:
        before = SearchSpace.parse(
            header["space_text"], source=str(study.path / "space.yaml"), name=header["space_name"]
        )
    except (ArchbenchError, KeyError) as error:
        return [f"its own space cannot be read any more ({error})"]
    changes = [str(change) for change in candidate_changes(before, space)]
    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    return [*changes[:_SHOWN], *more] or ["the same axes come to other networks"]
