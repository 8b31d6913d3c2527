"""What a running search tells the one who shows it: frozen events, in the order they happen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archbench.study.measurement import Measurement
from archbench.study.trial import CurvePoint, TrialRecord


@dataclass(frozen=True, kw_only=True)
class StageChanged:
    """What the search does from now on, for example ``calibrating``."""

    text: str


@dataclass(frozen=True, kw_only=True)
class StepAdvanced:
    """How far a step beside the trials is: so many units of a total are done."""

    text: str
    unit: str  # what is counted, as ``rounds``; empty where the text says it
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something that should change what the user does."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Planned:
    """How a new search is to take the hours that there are, in lines of at most 80 columns."""

    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is known before the first trial; in a dry run the folder is not made yet.

    Of ``size`` candidates, counted exactly, the share that satisfies every requirement is feasible,
    with the ends of its 95 % interval; they are the share itself where it is exact. What one trial
    costs one worker is extrapolated from candidates that were built, timed and trained for a few
    steps, as ``tried`` says in words; the trials that are left will take ``expected_seconds``,
    the known networks beside them at most ``baseline_seconds`` more, and confirming the front at
    most ``confirmation_seconds``. The names of the known networks are None where they are to be
    chosen.
    ``sources`` says what was taken from each earlier study, and ``backend`` in which runtime
    candidates are timed and why, where the space leaves that open.
    """

    name: str
    path: Path
    size: int
    feasible_share: float
    feasible_low: float
    feasible_high: float
    trials: int
    trials_done: int
    workers: int
    trial_seconds: float
    expected_seconds: float
    tried: str
    baselines: tuple[str, ...] | None = ()
    baseline_seconds: float = 0.0
    confirmation_seconds: float = 0.0
    sources: tuple[str, ...] = ()
    backend: str = ""


@dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """A trial began, or goes on after an interruption where ``resumed``."""

    record: TrialRecord
    worker: int
    resumed: bool


@dataclass(frozen=True, kw_only=True)
class TrialWaits:
    """A running trial waits for another process, which the text names."""

    number: int
    text: str


@dataclass(frozen=True, kw_only=True)
class LatencyMeasured:
    """The latency of a running trial is known."""

    number: int
    latency: Measurement


@dataclass(frozen=True, kw_only=True)
class RungFinished:
    """A running trial reached the end of a rung."""

    number: int
    point: CurvePoint


@dataclass(frozen=True, kw_only=True)
class TrialFinished:
    """A trial is over and committed, and how long the rest will take at the pace seen so far.

    The rest is the trials that are left and confirming the front.
    """

    record: TrialRecord
    trials_done: int
    trials: int
    remaining_seconds: float


@dataclass(frozen=True, kw_only=True)
class FrontChanged:
    """The Pareto front has other members than before; the cheapest is the first."""

    members: tuple[TrialRecord, ...]


@dataclass(frozen=True, kw_only=True)
class ConfirmationStarted:
    """The front is being confirmed, in at most so many seconds; so many candidates are uncertain.

    Of the seconds some are for further trainings.
    """

    in_doubt: int
    training_seconds: float
    remaining_seconds: float


@dataclass(frozen=True, kw_only=True)
class SeedTrained:
    """A candidate that may belong on the front was trained again."""

    record: TrialRecord
    seed: int
    on_front: float  # probability that it belongs there
    in_doubt: int  # candidates that are uncertain yet
    spent_seconds: float  # by all such trainings so far
    budget_seconds: float
    remaining_seconds: float  # that confirming the front will take at most


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The search is over and its front confirmed, after the seconds of this run."""

    path: Path
    reason: str  # why it ended, for example ``40 trials are done``
    seconds: float


Event = (
    StageChanged
    | StepAdvanced
    | Warned
    | Planned
    | Prepared
    | TrialStarted
    | TrialWaits
    | LatencyMeasured
    | RungFinished
    | TrialFinished
    | FrontChanged
    | ConfirmationStarted
    | SeedTrained
    | Finished
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that shows nothing."""
