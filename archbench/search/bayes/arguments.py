"""What a study of the user's own gives to the sampler, and the problem that follows from it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection

from archbench.errors import UsageError
from archbench.search.bayes.observations import Problem

_PLACE = "CostAwareSampler"
_MOST_SEED = 2**32 - 1  # what numpy's older generators take, of which Optuna's samplers have one


class UntoldError(UsageError):
    """A cost that cannot be told of these parameters."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Those of ``CostAwareSampler``.

    Raises:
        UsageError: One of them is not what it may be, whatever the study.
    """

    cost: Callable[[dict[str, Any]], Sequence[float]] | None
    distributions: Mapping[str, BaseDistribution]
    uncertain: int | None
    limits: Mapping[int, float]
    num_start: int | None
    seed: int | None

    def __post_init__(self) -> None:
        if self.cost is not None and not callable(self.cost):
            raise _refused("cost", self.cost, "a function of the parameters, or None")
        if not isinstance(self.distributions, Mapping) or not all(
            isinstance(name, str) and isinstance(one, BaseDistribution)
            for name, one in self.distributions.items()
        ):
            allowed = "a mapping of names to distributions of Optuna, or None"
            raise _refused("distributions", self.distributions, allowed)
        if self.uncertain is not None and not _is_whole(self.uncertain, least=0):
            raise _refused("uncertain", self.uncertain, "the position of an objective, from 0")
        if not isinstance(self.limits, Mapping) or not all(
            _is_whole(place, least=0) and _is_number(limit) and not math.isnan(limit)
            for place, limit in self.limits.items()
        ):
            allowed = "a mapping of positions of objectives, from 0, to numbers"
            raise _refused("limits", self.limits, allowed)
        if self.num_start is not None and not _is_whole(self.num_start, least=1):
            raise _refused("num_start", self.num_start, "a whole number from 1, or None")
        if self.seed is not None and not _is_whole(self.seed, least=0, most=_MOST_SEED):
            raise _refused("seed", self.seed, f"a whole number from 0 to {_MOST_SEED}, or None")

    def problem(
        self, directions: Sequence[StudyDirection], *, constraints: Sequence[str] = ()
    ) -> Problem:
        """What the objectives of a study are; its trials have constraints of these names.

        Raises:
            UsageError: The study lacks what the arguments speak of.
        """
        count = len(directions)
        maximised = [i for i, way in enumerate(directions) if way == StudyDirection.MAXIMIZE]
        uncertain = self.uncertain if self.uncertain is not None else next(iter(maximised), 0)
        if uncertain >= count:
            raise _refused("uncertain", uncertain, f"{_positions(range(count))} in this study")
        if self.cost is not None and count == 1:
            raise _refused("cost", self.cost, "None where a study has one objective")
        others = [place for place in range(count) if place != uncertain]
        for place in self.limits:
            if place not in others:
                allowed = _positions(others) if others else "nothing"
                raise _refused(
                    "limits", dict(self.limits), f"limits of {allowed} in this study: {uncertain} "
                    "is the uncertain objective, which can have none"
                )  # fmt: skip
        signs = tuple(-1.0 if place in maximised else 1.0 for place in range(count))
        limits = [self.limits.get(place, signs[place] * math.inf) for place in others]
        known = (None if self.cost is None else index for index in range(len(others)))
        return Problem(
            uncertain=uncertain,
            signs=signs,
            known=(*known, *[None] * len(constraints)),
            limits=(
                *(signs[place] * limit for place, limit in zip(others, limits, strict=True)),
                *[0.0] * len(constraints),
            ),
            constraints=tuple(constraints),
        )

    def costs(self, params: Mapping[str, Any], *, count: int) -> list[float]:
        """The so many known objectives of a candidate.

        Raises:
            UntoldError: The user's function fails, perhaps for want of a parameter.
            UsageError: It gives something else.
        """
        assert self.cost is not None, "is asked where there is one"
        try:
            given = self.cost(dict(params))
        except Exception as error:
            what = f"fails with {type(error).__name__}: {error}"
            raise _bad_cost(params, what, count=count, kind=UntoldError) from error
        try:
            found = [float(value) for value in given]
        except (TypeError, ValueError):
            found = []
        if len(found) != count or not all(map(math.isfinite, found)):
            raise _bad_cost(params, f"gives {given!r}", count=count)
        return found


def _bad_cost(
    params: Mapping[str, Any], what: str, *, count: int, kind: type[UsageError] = UsageError
) -> UsageError:
    numbers = "one finite number" if count == 1 else f"{count} finite numbers"
    return kind(
        f"for the parameters {dict(params)} it {what}",
        place=f"{_PLACE}(cost=...)",
        help=f"let it give a list of {numbers}, one for each objective but the uncertain one, "
        "in their order, whatever values the parameters have",
    )


def _refused(name: str, value: object, allowed: str) -> UsageError:
    return UsageError(
        f"{value!r} cannot be taken", place=f"{_PLACE}({name}=...)", help=f"give {allowed}"
    )


def _positions(places: Sequence[int]) -> str:
    return " or ".join(map(str, places))


def _is_whole(value: object, *, least: int, most: float = math.inf) -> bool:
    return _is_number(value) and isinstance(value, Integral) and least <= int(value) <= most


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
