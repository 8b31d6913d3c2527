"""What can a search optimise or limit, and what is a trial worth by it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from archbench.errors import UsageError
from archbench.registry import Registry
from archbench.study.measurement import Measurement
from archbench.study.trial import TrialRecord

Source = Literal["training", "latency", "arithmetic"]
REGISTRY = Registry(
    "archbench.study.objectives", "objective", "archbench.objectives", needs=("OBJECTIVE",)
)

_MILLION = 1e6


def _exact(_: TrialRecord) -> None:
    """The interval of a number that is known exactly."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A number of a trial that can be optimised or limited; a file of ``objectives``.

    Attributes:
        source: What gives it: the proxy's training, a timing on the target, or arithmetic, by
            which ``require`` of a space may then ask for it.
        timed: What a timing gives of it, for a source of ``latency``; None where that lacks it.
        detail: The detail of a timing that it needs and that is taken only where it is wanted.
        interval: The 95 % interval of a trial's value; None where it is exact or not known.
        unit: Of the value; empty for a count. Printed is ``shown_in``, after division by ``scale``.
    """

    name: str  # as in space files, headers and tables; the name of its file
    label: str  # what a person calls it, on the axis of a plot too
    direction: Literal["max", "min"] = "min"
    source: Source
    timed: Callable[[Measurement], float | None] | None = None
    detail: str = ""
    interval: Callable[[TrialRecord], tuple[float, float] | None] = _exact
    description: str  # what stands in its column of the tables
    unit: str = ""
    is_whole: bool = False  # whether the value is a whole number that every trial has
    shown_in: str
    scale: float = 1.0
    digits: int = 1
    rank: int = 100  # place in lists, rising; equal ones by name

    def value(self, record: TrialRecord) -> float | None:
        """What a trial is worth by it, or None where that is not known.

        It is what its counting latency gives, else the field of the trial that has its name.
        """
        if self.timed is not None:
            latency = record.latency
            return None if latency is None or latency.value is None else self.timed(latency)
        found = getattr(record, self.name)
        return None if found is None else float(found)

    def text(self, value: float) -> str:
        """The value with its unit, for a person; of millions a part is told in thousands."""
        if self.scale == _MILLION and abs(value) < _MILLION:
            return f"{value / 1e3:.3g} k {self.shown_in.removeprefix('M ')}"
        number = f"{value / self.scale:.{self.digits}f}"
        if value and not float(number):  # a small value is not none
            number = f"{value / self.scale:.2g}"
        return f"{number} {self.shown_in}"


class _Objectives(Mapping[str, Objective]):
    """Name to objective: ours in the order of their ranks, then those from outside.

    They are loaded when first asked for, one from outside when its name is.
    """

    @cached_property
    def _entries(self) -> dict[str, Objective]:
        found: list[Objective] = [REGISTRY.load(name).OBJECTIVE for name in REGISTRY.names]
        return {one.name: one for one in sorted(found, key=lambda one: (one.rank, one.name))}

    def __getitem__(self, name: str) -> Objective:
        if name not in self._entries and REGISTRY.is_outside(name):
            self._entries[name] = _checked(REGISTRY.load(name).OBJECTIVE, name=name)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _checked(found: object, *, name: str) -> Objective:
    """An objective from outside.

    Raises:
        UsageError: It is none, has another name, or comes from no timing.
    """
    if not isinstance(found, Objective) or found.name != name:
        raise UsageError(
            f"its OBJECTIVE is no archbench.study.objective.Objective of the name {name!r}",
            place=f"objective {name}",
            help="archbench/study/objectives/p99_ms.py shows how one is written",
        )
    if found.source != "latency" or found.timed is None:
        raise UsageError(
            f"it comes from {found.source}, and one from outside comes from a timing",
            place=f"objective {name}",
            help='give it source="latency" and a function timed of the measurement',
        )
    return found


OBJECTIVES: Mapping[str, Objective] = _Objectives()
"""Every objective by its name; a file of ``objectives`` adds one, and so does who names another."""


def costs(*sources: Source) -> tuple[str, ...]:
    """The objectives of which less is better, by name; of some sources alone where given."""
    return tuple(
        name
        for name, one in OBJECTIVES.items()
        if one.direction == "min" and (not sources or one.source in sources)
    )


def details_wanted(names: Iterable[str]) -> tuple[str, ...]:
    """The details of a timing that some objectives need beside its value."""
    return tuple(sorted({OBJECTIVES[name].detail for name in names} - {""}))


def objective_value(record: TrialRecord, name: str) -> float | None:
    """What a trial is worth by an objective, or None where that is not known.

    Raises:
        KeyError: There is no such objective.
    """
    return OBJECTIVES[name].value(record)
