"""Which of several studies found the better front, where their numbers can be compared?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archbench.analysis.front import FrontRule
from archbench.analysis.study import StudyReader
from archbench.analysis.tables import accuracy_standard_error
from archbench.errors import IncomparableError
from archbench.study.objective import OBJECTIVES, costs, objective_value
from archbench.study.runs import NORMAL_95
from archbench.study.trial import TrialRecord

_OF_TRAINING = (
    *("data_digest", "resolution", "stem", "seeds", "images", "batch", "mirror", "balance"),
    *("flip", "teacher"),
)
_WORDS = {"data_digest": "data"}


@dataclass(frozen=True, kw_only=True)
class FrontMember:
    """A member of the front of one of several studies, and what of the others beats it.

    ``beaten_by`` is a study's member that is no worse in any objective and better in one;
    ``surely`` says whether that goes beyond the 95 % intervals of both in every objective.
    """

    study: str
    record: TrialRecord
    beaten_by: tuple[str, int] | None = None
    surely: bool = False


@dataclass(frozen=True, kw_only=True)
class StudyComparison:
    """Fronts side by side.

    ``differences`` are conditions in which the studies differ, with the value of each; where there
    are some, nothing is said of which front is better. The ``hypervolumes`` are shares of one box,
    which all studies span together; None where it has no corner.
    """

    names: tuple[str, ...]
    objectives: Mapping[str, str]
    members: tuple[FrontMember, ...]
    differences: Mapping[str, tuple[str, ...]]
    hypervolumes: tuple[float, ...] | None

    def document(self) -> dict[str, Any]:
        """A JSON document of the schema ``archbench.study-comparison/1``."""
        return {
            "schema": "archbench.study-comparison/1",
            "studies": list(self.names),
            "comparable": not self.differences,
            "differences": {name: list(values) for name, values in self.differences.items()},
            "objectives": dict(self.objectives),
            "hypervolumes": self.hypervolumes and list(self.hypervolumes),
            "front": [
                {
                    "study": one.study,
                    "trial": one.record.number,
                    **{name: objective_value(one.record, name) for name in self.objectives},
                    "beaten_by": one.beaten_by and ":".join(map(str, one.beaten_by)),
                    "surely": one.surely,
                }
                for one in self.members
            ],
        }


def compare_studies(studies: Sequence[StudyReader]) -> StudyComparison:
    """The fronts of two studies or more, as far as they can be compared.

    Raises:
        IncomparableError: They were searched for other objectives.
        StorageError: A study's header lacks an entry.
    """
    first, *others = studies
    names = _distinct([study.name for study in studies])
    for name, other in zip(names[1:], others, strict=True):
        if dict(other.rule.objectives) != dict(first.rule.objectives):
            raise IncomparableError(
                f"{names[0]} was searched for {', '.join(first.rule.objectives)}, and {name} for "
                f"{', '.join(other.rule.objectives)}",
                help="compare studies with the same objectives",
            )
    differences = dict(_differences(studies))
    fronts = dict(zip(names, (study.front_records() for study in studies), strict=True))
    shares = None if differences else _hypervolumes(studies)
    rules = dict(zip(names, (study.rule for study in studies), strict=True))
    members = [
        FrontMember(study=name, record=record)
        if differences
        else _member(record, name, fronts=fronts, rules=rules)
        for name, front in fronts.items()
        for record in front
    ]
    return StudyComparison(
        names=tuple(names),
        objectives=first.rule.objectives,
        members=tuple(members),
        differences=differences,
        hypervolumes=shares,
    )


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number behind one that was there before."""
    return [
        name if name not in names[:place] else f"{name} ({place + 1})"
        for place, name in enumerate(names)
    ]


def _differences(studies: Sequence[StudyReader]) -> Iterator[tuple[str, tuple[str, ...]]]:
    told = [dict(_conditions(study)) for study in studies]
    for name in told[0] | told[-1]:
        values = tuple(str(one.get(name)) for one in told)
        if len(set(values)) > 1:
            yield name, values


def _conditions(study: StudyReader) -> Iterator[tuple[str, Any]]:
    """What the accuracies and, where there are some, the latencies of a study depend on."""
    header = study.header
    proxy = header["proxy"]
    for key in _OF_TRAINING:
        yield _WORDS.get(key, key), proxy.get(key)
    yield "epochs", (proxy.get("rungs") or [None])[-1]
    yield "weights", (proxy.get("weights") or {}).get("sha256")
    if set(study.rule.objectives) & set(costs("latency")):
        conditions = header.get("conditions") or {}
        yield from ((f"target {key}", value) for key, value in conditions.items())
        machine = header.get("environment") or {}
        yield from ((key, machine.get(key)) for key in ("cpu", "cores", "gpu"))


def _hypervolumes(studies: Sequence[StudyReader]) -> tuple[float, ...] | None:
    """The share of each front of the box between the corners of all of them."""
    rules = [study.rule for study in studies]
    alike = all(dict(rule.limits) == dict(rules[0].limits) for rule in rules)
    rule = rules[0] if alike else replace(rules[0], limits={})
    box = rule.box([record for study in studies for record in study.trials()])
    if box is None:
        return None
    return tuple(box.share(rule.points(study.front_records())) for study in studies)


def _member(
    record: TrialRecord,
    name: str,
    *,
    fronts: Mapping[str, Sequence[TrialRecord]],
    rules: Mapping[str, FrontRule],
) -> FrontMember:
    best = FrontMember(study=name, record=record)
    for other, front in fronts.items():
        for rival in front if other != name else ():
            if not _beats(rival, record, rule=rules[name]):
                continue
            surely = _surely(rival, record, rule=rules[name], of_rival=rules[other])
            if best.beaten_by is None or (surely and not best.surely):
                best = replace(best, beaten_by=(other, rival.number), surely=surely)
    return best


def _beats(rival: TrialRecord, record: TrialRecord, *, rule: FrontRule) -> bool:
    gains = list(_gains(rival, record, rule=rule))
    return min(gains) >= 0 and max(gains) > 0


def _gains(rival: TrialRecord, record: TrialRecord, *, rule: FrontRule) -> Iterator[float]:
    """By how much a rival is better in each objective."""
    signs = [1 if way == "max" else -1 for way in rule.objectives.values()]
    values = zip(signs, *rule.points([rival, record]), strict=True)
    return (sign * (one - other) for sign, one, other in values)


def _surely(
    rival: TrialRecord, record: TrialRecord, *, rule: FrontRule, of_rival: FrontRule
) -> bool:
    """Whether the intervals of 95 % of both leave no objective in which it may be no better."""
    return all(
        gain >= _reach(rival, name, of_rival) + _reach(record, name, rule)
        for name, gain in zip(rule.objectives, _gains(rival, record, rule=rule), strict=True)
    )


def _reach(record: TrialRecord, name: str, rule: FrontRule) -> float:
    """Half the width of the 95 % interval of a value; 0 of an exact one."""
    if name == "proxy_accuracy":
        error = accuracy_standard_error(record, num_validation=rule.num_validation)
        return NORMAL_95 * (error or 0.0)
    interval = OBJECTIVES[name].interval(record)
    return (interval[1] - interval[0]) / 2 if interval else 0.0
