"""How is a space searched in the hours there are: which images, how many, for how long each trial?

What is chosen are fields of the space, as ``--set`` would set them; the study's copy keeps them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from archbench.data.look import Look
from archbench.errors import SpaceError, UsageError
from archbench.models import ArchSpec, count
from archbench.search import events
from archbench.search.affordable import in_minutes, rounded, rungs_to
from archbench.search.context import StudyContext
from archbench.search.preparation import unplanned
from archbench.search.preparation_jobs import look_at_data, try_images, try_machine
from archbench.search.settings import Settings
from archbench.space import SearchSpace
from archbench.yaml_document import write_flow

SIDES = (24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 224)
"""Resolutions that candidates may see, in pixels."""

_SMALLEST, _REDUCED = 32, 3  # px at which the base is trained at least, and a share of its own
_SHARE = 0.8  # of the time is for the trials; to confirm the front takes up to a fifth of theirs
_TRIALS, _FEWER, _FEWEST = 60, 40, 12
_SEEN, _LEAST = 12_000, 3_000  # images that a training sees
_OVERHEAD_S = 5.0  # of a trial: it is built, timed and written down
_NUM_RUNGS, _EPOCHS, _MOST_EPOCHS = 3, 4, 30
_LARGE_BATCH, _MANY_STEPS = 64, 1_000
_STOPPED = 3  # times the trials that would fit, were none stopped early or over a limit
_TRIED, _DRAWN = 3, 12
_MARGIN = 1.5  # on what the machine computes at best: others may be at work while it is tried
_BUSY = 0.2  # of what the machine computes at best is as much as networks within a limit reach
_SLOW = 4.0  # times the mean trial after which one is ended
_TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds of learning from an image and of validating one, with every seed.

    So long a trial takes for each where the base is trained at a side, in pixels.
    """

    side: int
    learn: float
    validate: float

    def at(self, side: int) -> "Pace":
        """What is expected at another side: as many times as long as it has times the pixels."""
        ratio = (side / self.side) ** 2
        return Pace(side=side, learn=ratio * self.learn, validate=ratio * self.validate)

    def fixed(self, seen: Look) -> float:
        """Seconds of a trial that its images to learn from do not hang on."""
        return _OVERHEAD_S + _NUM_RUNGS * seen.num_validation * self.validate

    def images(self, seen: Look, *, seconds: float, trials: int) -> float:
        """Images that each of so many trials can learn from in so many seconds in all."""
        return (seconds / trials - self.fixed(seen)) / self.learn


def plan_search(context: StudyContext, *, asked: partial[Settings]) -> None:
    """Plans a new search that is to take some hours: the space of its settings; the plan is told.

    ``asked`` gives the settings of a space. What was set from outside is left as it is.

    Raises:
        UsageError: The hours hold no dozen trials.
        ArchbenchError: Data or device are missing, or no candidate can be trained.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    settings = context.settings
    context.say(f"looking at the data and the machine, to plan the search ({settings.data})")
    look = partial(look_at_data, name=settings.data, resolution=settings.space.proxy.resolution)
    seen: Look = context.call(partial(look, download=settings.download), place="owner")
    if "data" in settings.options:  # an object that was given has a name by now
        asked = partial(asked, data=settings.data)
    plan = _Plan(context=context, asked=asked, seen=seen, fields={})
    plan.set(**_of_data(settings.space, seen))
    plan.set_macs()
    pace, images, trials = plan.training()
    plan.set(**_of_trials(settings, pace, seen, images=images, trials=trials))
    context.settings = plan.settings
    context.tell(events.Planned(lines=tuple(_in_words(plan, pace, trials=trials))))


@dataclass(kw_only=True)
class _Plan:
    """What is chosen so far, and the settings with it; what was said from outside stays."""

    context: StudyContext
    asked: partial[Settings]
    seen: Look
    fields: dict[str, Any]

    def __post_init__(self) -> None:
        self.begun = self.settings = self.context.settings
        said = {f"search.{option}" for option in self.begun.options}
        self.said = self.begun.space.overridden | said

    @property
    def seconds(self) -> float:
        """Of all trials together, summed over the workers."""
        assert self.begun.search.hours is not None, "a search without hours is not planned"
        return _SHARE * 3600 * self.begun.search.hours * self.context.workers

    def set(self, **fields: Any) -> None:
        """Chooses values of fields, but for those that were said."""
        self.fields |= {key: value for key, value in fields.items() if key not in self.said}
        self.settings = self._settings(self.fields)

    def _settings(self, fields: Mapping[str, Any]) -> Settings:
        overrides = [f"{key}={write_flow(value)}" for key, value in fields.items()]
        return self.asked(SearchSpace.load(self.begun.space, overrides=overrides))

    def set_macs(self) -> None:
        """Leaves out what is too large for the limit of latency on any runtime of this machine."""
        space = self.settings.space
        limit_ms, target = space.limits.get("latency_ms"), space.target
        if limit_ms is None or target.device != "cpu" or target.precisions != ("fp32",):
            return
        rate: float = self.context.call(partial(try_machine))
        most = rounded(_MARGIN * rate * limit_ms / 1e3 / target.batches[0])
        self.set(**{"limits.macs": int(min(most, space.limits.get("macs", math.inf)))})

    def training(self) -> tuple[Pace, float, float]:
        """The pace at the side that is best to train at, images of a training, and trials.

        It is the largest at which enough trials see enough images.

        Raises:
            UsageError: The hours hold no dozen trials at the smallest one.
        """
        sides = list(self._sides()) or [self.settings.space.proxy.resolution]
        known = self._pace(min(sides, key=lambda side: abs(side - 2 * _SMALLEST)))
        for side in sides:
            is_last = side == sides[-1]
            if self._images(known.at(side)) is None and not is_last:
                continue
            known = known if known.side == side else self._pace(side)
            if images := self._images(known, is_last=is_last):
                return known, images, self.seconds / (known.fixed(self.seen) + images * known.learn)
        raise self._too_little_time(known)

    def _sides(self) -> Iterator[int]:
        """Sides at which the base can be trained, the largest first."""
        own = self.settings.space.base["resolution"]
        if "proxy.resolution" in self.said or isinstance(own, list) or self.seen.side is None:
            yield self.settings.space.proxy.resolution
            return
        least = max(_SMALLEST, own / _REDUCED)
        for side in sorted({own, *(side for side in SIDES if least <= side < own)}, reverse=True):
            try:
                self._settings({**self.fields, "proxy.resolution": side})
            except SpaceError:  # no network is legal there
                continue
            yield side

    def _pace(self, side: int) -> Pace:
        self.set(**{"proxy.resolution": side})
        settings = self.settings
        proxy = unplanned(settings, {"num_classes": len(self.seen.class_sizes)})
        specs = [spec.to_document() for spec in _tried(settings)]
        learn, validate = self.context.call(partial(try_images, specs=specs, proxy=proxy))
        seeds = proxy.num_seeds
        return Pace(side=side, learn=seeds * learn, validate=seeds * validate)

    def _images(self, pace: Pace, *, is_last: bool = False) -> float | None:
        """Images that a training sees; None where they, or the trials, are too few."""
        seen, seconds = self.seen, self.seconds
        most = _MOST_EPOCHS * seen.num_train
        if (found := pace.images(seen, seconds=seconds, trials=_TRIALS)) >= min(_SEEN, most):
            return min(found, most)
        if pace.images(seen, seconds=seconds, trials=_FEWER) >= _SEEN:
            return _SEEN
        for trials in (_FEWER, (_FEWER + _FEWEST) // 2, _FEWEST) if is_last else ():
            found = min(pace.images(seen, seconds=seconds, trials=trials), most)
            if found >= min(_LEAST, most):
                return found
        return None

    def _too_little_time(self, pace: Pace) -> UsageError:
        each = pace.fixed(self.seen) + _LEAST * pace.learn
        hours = self.begun.search.hours or 0.0
        needed = hours * _FEWEST * each / self.seconds
        return UsageError(
            f"{hours:g} hours hold no {_FEWEST} trials: with {_LEAST:,} images at {pace.side} px "
            f"one takes about {in_minutes(each)}",
            place="--hours",
            help=f"give {math.ceil(10 * needed) / 10:g} hours or more, or search smaller networks "
            "with a lower --latency",
        )


def _tried(settings: Settings) -> list[ArchSpec]:
    """Candidates of different sizes to try, of those that may well keep the limit of MACs."""
    found = settings.some_candidates(_DRAWN)
    limit = settings.space.limits.get("macs", math.inf)
    small = [spec for spec in found if count(spec).macs <= _BUSY * limit]
    kept = small if len(small) >= _TRIED else found[:_TRIED]
    return [kept[round(at * (len(kept) - 1) / (_TRIED - 1))] for at in range(_TRIED)]


def _of_data(space: SearchSpace, seen: Look) -> dict[str, Any]:
    """Fields that follow from the data alone: the number of classes, and the resolutions."""
    fields: dict[str, Any] = {}
    if space.base["num_classes"] != len(seen.class_sizes):
        fields["num_classes"] = len(seen.class_sizes)
    if space.sides is not None and seen.side is not None:
        largest = max(side for side in SIDES if side <= max(seen.side, _SMALLEST))
        wanted = (largest / 2, largest * 3 / 4, largest)
        nearest = {min(SIDES, key=lambda side: abs(side - one)) for one in wanted}
        fields |= {"resolution": sorted(nearest), "proxy.resolution": max(nearest)}
    return fields


def _of_trials(
    settings: Settings, pace: Pace, seen: Look, *, images: float, trials: float
) -> dict[str, Any]:
    """Fields of the training of a trial that sees so many images, and of so many such trials."""
    section = settings.space.proxy
    if images >= (_EPOCHS - 1) * seen.num_train:
        epochs = min(round(images / seen.num_train), _MOST_EPOCHS)
        each = None if section.images is None else seen.num_train
        rungs = rungs_to(epochs)
    else:  # an epoch is a share of the images, the next one each time
        rungs, each = [1, 2, _EPOCHS], rounded(images / _EPOCHS)
    many = images / _LARGE_BATCH >= _MANY_STEPS
    search_s = _SHARE * 3600 * (settings.search.hours or 0.0)
    mean_s = pace.fixed(seen) + images * pace.learn
    return {
        **({"proxy.images": each} if each else {}),
        "proxy.rungs": rungs,
        "proxy.batch": _LARGE_BATCH if many else section.batch,
        "search.trials": math.ceil(_STOPPED * trials),
        "search.time": f"{search_s:.0f}s",
        "search.timeout": f"{max(_TIMEOUT_S, _SLOW * mean_s):.0f}s",
    }


def _in_words(plan: _Plan, pace: Pace, *, trials: float) -> Iterator[str]:
    """The plan in lines of at most 80 columns."""
    seen, space, search = plan.seen, plan.settings.space, plan.settings.search
    section, limit = space.proxy, space.limits.get("latency_ms")
    below = f", below {limit:g} ms" if limit else ""
    lies, classes = f" of {seen.side} px" if seen.side else "", len(seen.class_sizes)
    workers = f"{plan.context.workers} worker{'s' if plan.context.workers > 1 else ''}"
    hours = f"{search.hours:g} hour{'s' if search.hours != 1 else ''}"
    yield f"plan for {hours} on {workers}{below}:"
    ratio = max(seen.class_sizes) / min(seen.class_sizes)
    yield f"  data        about {seen.num_train:,} images{lies} to train on, {classes} classes"
    yield f"              the largest class has {ratio:.1f} times the images of the smallest"
    if space.sides is not None:
        yield f"  resolution  candidates see {_listed(space.trained_sides)} px"
    yield f"              that of {space.base['resolution']} px is trained at {pace.side} px"
    share = f"{section.images:,} images in turn" if section.images else "all images"
    yield f"  training    {section.rungs[-1]} epochs of {share}, in batches of {section.batch}"
    yield f"              the pruner looks after {_listed(section.rungs)}"
    limit_s, num_workers = search.time_limit_s or 0.0, plan.context.workers
    confirmed_s = plan.settings.confirmation_seconds(num_workers * limit_s) / num_workers
    yield f"  trials      about {trials:.0f}, begun within {in_minutes(limit_s)}"
    yield f"              then up to {in_minutes(confirmed_s)} confirm the front"
    if "limits.macs" in plan.fields:
        most = plan.fields["limits.macs"]
        yield f"  limits      {most:,} MACs, as more take longer than {limit:g} ms"


def _listed(numbers: Any) -> str:
    words = [str(number) for number in numbers]
    return " and ".join([", ".join(words[:-1])] * (len(words) > 1) + words[-1:])
