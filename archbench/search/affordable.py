"""Do trials end in their time, and does a search hold a handful: else, what would do?"""

import math
from collections.abc import Iterator

from archbench.errors import UsageError
from archbench.search.settings import Settings

HANDFUL = 5
"""Trials that a search has to hold: of fewer there is nothing to choose."""

_SLOWEST = 3.0  # times the mean trial
_CHOSEN_SHARE, _NAMED_SHARE = 0.2, 0.5  # of the search's time, that known networks may take


def require_time(settings: Settings, *, seconds: float, workers: int, num_train: int) -> str:
    """A warning where slow trials may not end in their time, of which a mean one takes seconds.

    Raises:
        UsageError: Not even a mean one does, or the search holds no handful; the help says what
            would do.
    """
    timeout_s, limit_s = settings.search.timeout_s, settings.search.time_limit_s
    in_all_s = math.inf if limit_s is None else workers * limit_s
    if seconds > timeout_s:
        why = f"and is ended after {in_minutes(timeout_s)}"
    elif HANDFUL * seconds > in_all_s:
        why = f"and {in_minutes(limit_s or 0)} on {workers} workers hold fewer than {HANDFUL}"
    elif _SLOWEST * seconds > timeout_s:
        told = f"a trial may take {_SLOWEST * seconds:.0f} s and is ended after {timeout_s:g} s"
        return f"{told}: give more time, search.timeout in the space"
    else:
        return ""
    share = min(timeout_s / _SLOWEST, in_all_s / HANDFUL) / seconds
    ways = _ways(settings, seconds=seconds, share=share, workers=workers, num_train=num_train)
    raise UsageError(
        f"a trial takes about {in_minutes(seconds)}, {why}",
        place=settings.space.name,
        help=f"one of these does: {'; '.join(ways)}",
    )


def baseline_seconds(settings: Settings, *, each_s: float) -> float:
    """Seconds of a search that known networks may take, where ``each_s`` are those of a trial.

    Those that the space names have half of the time limit; without one they take what they take.
    """
    limit_s = settings.search.time_limit_s
    limit_s = math.inf if limit_s is None else limit_s
    if settings.space.baselines is not None:
        return _NAMED_SHARE * limit_s
    return _CHOSEN_SHARE * min(limit_s, each_s * settings.expected_trials)


def require_baseline_time(settings: Settings, *, each_s: float) -> None:
    """Nothing, when the known networks that a space names leave its trials half of the time.

    Raises:
        UsageError: They take more; the help says what would do.
    """
    names, limit_s = settings.space.baselines or (), settings.search.time_limit_s
    most_s, needed_s = baseline_seconds(settings, each_s=each_s), each_s * len(names)
    if limit_s is None or needed_s <= most_s:
        return
    longer, hours = needed_s / most_s, settings.search.hours
    more = f"--time {math.ceil(longer * limit_s / 60)}m" if hours is None else "more --hours"
    raise UsageError(
        f"the {len(names)} known networks take about {in_minutes(needed_s)}, more than half of the "
        f"{in_minutes(limit_s)} that there are",
        place=f"{settings.space.name}: baselines",
        help=f"one of these does: name {int(most_s / each_s)} of them; more time, {more}; none, "
        "--set 'baselines=[]'",
    )


def in_minutes(seconds: float) -> str:
    """For example ``80 s`` or ``3 minutes``."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def rungs_to(epochs: int) -> list[int]:
    """Epochs after which the pruner looks, the last of which are all: a third, half, the whole."""
    return sorted({math.ceil(epochs / 3), math.ceil(epochs / 2), epochs})


def rounded(value: float) -> int:
    """A large number as a plan says it, to two digits."""
    return int(float(f"{value:.1e}"))


def _ways(
    settings: Settings, *, seconds: float, share: float, workers: int, num_train: int
) -> Iterator[str]:
    """What makes trials take this share of their time, or gives it to them."""
    section, search = settings.space.proxy, settings.search
    images = rounded(share * min(section.images or num_train, num_train))
    if images >= section.batch:
        yield f"fewer images, --set proxy.images={images}"
    epochs = math.floor(share * section.rungs[-1])
    if epochs >= 1:
        yield f"fewer epochs, --set 'proxy.rungs={rungs_to(epochs)}'"
    side = int(section.resolution * math.sqrt(share) / 8) * 8
    if section.stem == "as_is" and side >= 32:
        yield f"smaller images, --set proxy.resolution={side}"
    elif section.stem != "as_is":
        yield "the stem as it is, so that fewer tokens are trained, --set proxy.stem=as_is"
    if seconds > search.timeout_s:
        yield f"more time for each, --set search.timeout={math.ceil(_SLOWEST * seconds / 60)}m"
    if search.time_limit_s is not None:
        yield f"more time in all, --time {math.ceil(HANDFUL * seconds / workers / 60)}m"
    if search.hours is None:
        yield "a plan for the hours there are, --hours 2"
