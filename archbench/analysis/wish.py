"""What does somebody need of a design, and what would be a little more or less?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from archbench.bounds import is_finite
from archbench.errors import UsageError, unknown_name, wrong_type
from archbench.study.objective import OBJECTIVES, costs, objective_value
from archbench.study.trial import TrialRecord

SURE = 0.9
"""How probable it must be that a design keeps what was asked for, by default."""
_POINT = 0.01
_WHOLE_FROM = 5.0  # ms, from which a step of one millisecond is a small change


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody needs of a design.

    Args:
        limits: The most that each cost may be; the most accurate design within them is wanted.
        accuracy: The least accuracy, in full training of designs that had one; then the cheapest
            design is wanted.
        is_knee: Whether the point is wanted from which on more cost buys least.
        sure: How probable it must be that limits and accuracy are kept.
        precision: Of a study that has int8, too; None for any.

    Examples:
        >>> Wish(limits={"latency_ms": 2.0}).sure
        0.9
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    accuracy: float | None = None
    is_knee: bool = False
    sure: float = SURE
    precision: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing is asked for, so that the design is picked that the study recommends."""
        return self.is_by_accuracy and not self.limits

    @property
    def is_by_accuracy(self) -> bool:
        """Whether the most accurate is wanted."""
        return self.accuracy is None and not self.is_knee


def check_wish(wish: Wish) -> None:
    """Refuses what is no wish.

    Raises:
        UsageError: It is none, limits what is no cost, or asks for what is not finite.
    """
    if not isinstance(wish, Wish):
        raise wrong_type(wish, place="wish", allowed="an archbench.Wish")
    for name in wish.limits:
        if name not in costs():
            raise unknown_name("cost", str(name), costs(), place="limits")
    wishes = {**wish.limits, "accuracy": wish.accuracy, "sure": wish.sure}
    for name, value in wishes.items():
        if value is not None and not is_finite(value):
            raise UsageError(f"{value} is not a finite number", place=name)


def other_wishes(wish: Wish, chosen: TrialRecord, *, cost: str) -> tuple[Wish, Wish]:
    """A tighter and a looser wish than one by which a design was chosen."""
    if (share := wish.accuracy) is not None:
        return replace(wish, accuracy=share - _POINT), replace(wish, accuracy=share + _POINT)
    name = next(iter(wish.limits), cost)
    value = wish.limits.get(name) or _upper(chosen, name)
    step = step_of(name, value)
    below, above = ({**wish.limits, name: limit} for limit in (value - step, value + step))
    other = replace(wish, is_knee=False)
    return replace(other, limits=below), replace(other, limits=above)


def step_of(name: str, value: float) -> float:
    """A step of a limit that a person would ask about: 1 ms, or about a fifth of small limits."""
    if name == "latency_ms" and value >= _WHOLE_FROM:
        return 1.0
    exponent = math.floor(math.log10(value / 5))
    scaled = value / 5 / 10**exponent
    return (5 if scaled >= 5 else 2 if scaled >= 2 else 1) * 10.0**exponent


def _upper(record: TrialRecord, name: str) -> float:
    value = objective_value(record, name)
    assert value is not None
    interval = OBJECTIVES[name].interval(record)
    return max(value, interval[1]) if interval else value
