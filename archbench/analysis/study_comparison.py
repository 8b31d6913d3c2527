"""Which of several studies found the better front, where their numbers can be compared?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archbench.analysis.front import FrontRule
from archbench.analysis.study import StudyReader
from archbench.analysis.tables import accuracy_standard_error
from archbench.errors import IncomparableError, UsageError
from archbench.study.environment import Environment
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.runs import NORMAL_95
from archbench.study.trial import TrialRecord

_OF_PROXY = ("resolution", "stem", "seeds", "num_train", "num_validation")
_NOT_OF_TRAINING = ("rungs", "seed")  # of its recipe: the last rung counts alone, as ``epochs``


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

    ``training`` and ``timing`` are what accuracies and latencies depend on and in which the studies
    differ, with the value of each. Where there are ``differences``, nothing is said of which front
    is better. The ``hypervolumes`` are shares of one box, which all studies span together; None
    where it has no corner.
    """

    names: tuple[str, ...]
    objectives: Mapping[str, str]
    members: tuple[FrontMember, ...]
    training: Mapping[str, tuple[str, ...]]
    timing: Mapping[str, tuple[str, ...]]
    hypervolumes: tuple[float, ...] | None = None

    @property
    def is_timed(self) -> bool:
        """Whether an objective comes from a timing."""
        return any(OBJECTIVES[name].source == "latency" for name in self.objectives)

    @property
    def differences(self) -> dict[str, tuple[str, ...]]:
        """In what the studies differ that changes their objectives."""
        return {**self.training, **(self.timing if self.is_timed else {})}

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
        UsageError: One is named twice.
    """
    first, *others = studies
    names = _names_apart(studies)
    for name, other in zip(names[1:], others, strict=True):
        if other.rule.objectives != first.rule.objectives:
            raise IncomparableError(
                f"its objectives are not those of {names[0]}: {names[0]} was searched for "
                f"{', '.join(first.rule.objectives)}, and {name} for "
                f"{', '.join(other.rule.objectives)}",
                place=name,
                help="compare studies of the same objectives",
            )
    fronts = dict(zip(names, (study.front_records() for study in studies), strict=True))
    found = StudyComparison(
        names=names,
        objectives=first.rule.objectives,
        members=tuple(
            FrontMember(study=name, record=record)
            for name, front in fronts.items()
            for record in front
        ),
        training=_unequal([dict(_training(study.header)) for study in studies]),
        timing=_unequal([dict(_timing(study.header)) for study in studies]),
    )
    if found.differences:
        return found
    rules = dict(zip(names, (study.rule for study in studies), strict=True))
    judged = (_judged(member, fronts=fronts, rules=rules) for member in found.members)
    return replace(found, members=tuple(judged), hypervolumes=_hypervolumes(studies))


def _names_apart(studies: Sequence[StudyReader]) -> tuple[str, ...]:
    """Their names, or the names of their folders, or the paths: what tells them apart."""
    known = zip(*((s.name, s.path.name, str(s.path)) for s in studies), strict=True)
    for names in known:
        if len(set(names)) == len(names):
            return names
    raise UsageError("a study is named twice", place=studies[0].name, help="name each once")


def _unequal(told: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """What is not the same for all studies, with the value of each."""
    found = {}
    for name in dict.fromkeys(name for one in told for name in one):
        values = tuple("none" if (v := one.get(name)) is None else str(v) for one in told)
        if len(set(values)) > 1:
            found[name] = values
    return found


def _training(header: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the accuracies of a study depend on, but for the seed."""
    proxy = header["proxy"]
    yield "data", proxy.get("data_digest")
    yield "epochs", (proxy.get("rungs") or [None])[-1]
    for key in _OF_PROXY:
        yield key, proxy.get(key)
    for key, value in proxy.get("recipe", {}).items():
        if key not in _NOT_OF_TRAINING:
            yield key, value
    yield "weights", (proxy.get("weights") or {}).get("sha256")
    yield "weights of the teacher", (proxy.get("teacher") or {}).get("sha256")


def _timing(header: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the latencies of a study depend on."""
    conditions, machine = header.get("conditions") or {}, header.get("environment")
    for key, value in conditions.items():
        yield f"target {key}", value
    if machine:
        counts = Environment(**machine).what_counts(backend=conditions.get("backend", "eager"))
        yield from counts.items()


def _hypervolumes(studies: Sequence[StudyReader]) -> tuple[float, ...] | None:
    """The share of each front of the box between the corners of all of them."""
    rules = [study.rule for study in studies]
    alike = all(dict(rule.limits) == dict(rules[0].limits) for rule in rules)
    rule = rules[0] if alike else replace(rules[0], limits={})
    box = rule.box([record for study in studies for record in study.trials()])
    if box is None:
        return None
    return tuple(box.share(rule.points(study.front_records())) for study in studies)


def _judged(
    member: FrontMember,
    *,
    fronts: Mapping[str, Sequence[TrialRecord]],
    rules: Mapping[str, FrontRule],
) -> FrontMember:
    """The member with the best of what beats it in the other studies."""
    best, record, rule = member, member.record, rules[member.study]
    for other, front in fronts.items():
        for rival in front if other != member.study else ():
            if not _beats(rival, record, rule=rule):
                continue
            surely = _surely(rival, record, rule=rule, of_rival=rules[other])
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
