"""What was a search asked to be?"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from archbench.command_line import command_line
from archbench.data import Data, name_of
from archbench.errors import UsageError
from archbench.measure.machine import devices
from archbench.models import ArchSpec, count
from archbench.search.machines import Machines
from archbench.search.pruning import load_pruner, named_pruner
from archbench.search.sampler import SamplerEntry, load_sampler, named_sampler
from archbench.space import Choices, SearchSpace, shipped
from archbench.space.reader import MOST_CONFIRMATION, parse_duration
from archbench.space.sections import SearchSection, override
from archbench.study.measurement import Conditions
from archbench.study.objective import OBJECTIVES
from archbench.study.study_folder import SPACE, study_path

_TRIES = 2_000
_CONFIRM_SHARE = 0.2
_OTHER_RUNTIMES_SHARE = 0.1
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a search was asked to be: its space's section ``search`` but for what was said.

    ``options`` is what was said, for the command that repeats it. Further trainings of uncertain
    candidates have a ``budget``: a share of the search's time, or seconds in its place.
    """

    space: SearchSpace
    search: SearchSection
    path: Path
    data: str
    download: bool
    options: Mapping[str, Any]
    sources: tuple[Path, ...] = ()
    budget: tuple[float, float | None] = (_CONFIRM_SHARE, None)
    backends: tuple[Mapping[str, Any], ...] = ()  # what was found where the space leaves it open
    sampler: SamplerEntry | None = None  # one that was given as an object
    pruner: Any = None  # likewise
    machines: Machines = field(default_factory=Machines)

    @property
    def name(self) -> str:
        """The study's."""
        return self.path.name

    @property
    def timed_limits(self) -> dict[str, float]:
        """What of a timing is an objective or has a limit, to the most that it may be."""
        names = {*self.space.objectives, *self.space.limits}
        return {
            name: self.space.limits.get(name, math.inf)
            for name, one in OBJECTIVES.items()
            if name in names and one.source == "latency"
        }

    @property
    def int8(self) -> Conditions | None:
        """The target of networks that are quantised, if any are."""
        has_int8 = "int8" in self.space.target.precisions
        return replace(conditions_of(self.space), precision="int8") if has_int8 else None

    @property
    def training_device(self) -> str:
        """Where candidates are trained: on the kind of device that they are made for.

        Those for another device are trained on the best one here; on a cluster whose trials take a
        GPU, on that.
        """
        conditions = Conditions(device=self.space.target.device)
        if self.machines.resources.get("gpu"):
            return "cuda"
        return devices()[-1] if conditions.is_remote else conditions.processor

    @property
    def most_trials(self) -> int:
        """Trials that the study can have; no candidate is tried twice."""
        return min(self.search.trials, self.space.size())

    @property
    def expected_trials(self) -> int:
        """Trials that the study will have if none is stopped early."""
        if self.search.epochs is None:
            return self.most_trials
        each = self.space.proxy.rungs[-1] * self.space.proxy.seeds
        return min(self.most_trials, math.ceil(self.search.epochs / each))

    def num_workers(self, *, left: int) -> int:
        """Trials at a time, where so many are left; see ``Machines.num_workers``."""
        asked = self.search.workers
        return self.machines.num_workers(
            asked,
            device=self.training_device,
            threads=self.space.target.threads,
            left=left,
            place="search.workers" if asked == self.space.search.workers else "--workers",
        )

    def confirmation_seconds(self, search_seconds: float) -> float:
        """Seconds of further trainings, summed over workers, given those of the search."""
        share, seconds = self.budget
        return share * search_seconds if seconds is None else seconds

    def closing_seconds(self, search_seconds: float, *, workers: int) -> float:
        """Seconds that confirming the front takes at most, given those of the search.

        Those of the search are summed over workers.
        """
        if self.search.confirm is False:
            return 0.0
        others = self.other_runtimes_seconds(search_seconds)
        return self.confirmation_seconds(search_seconds) / workers + others

    def other_runtimes_seconds(self, search_seconds: float) -> float:
        """Seconds in which the front is timed in other runtimes at most, given those of a search.

        These are summed over workers.
        """
        return _OTHER_RUNTIMES_SHARE * search_seconds if self.timed_limits else 0.0

    @property
    def space_to_type(self) -> str:
        """What a command takes for the space: the study's copy where no name will do."""
        space = self.space
        is_shipped = space.name in shipped() and SearchSpace.load(space.name).text == space.text
        return space.name if is_shipped else str(self.path / SPACE)

    @property
    def command(self) -> str:
        """What to type to repeat the search."""
        options = [word for key, value in self.options.items() for word in (f"--{key}", value)]
        sources = [word for source in self.sources for word in ("--from", source)]
        return command_line("archbench", "search", self.space_to_type, *options, *sources)

    def some_candidates(self, number: int) -> list[ArchSpec]:
        """At most so many feasible candidates of different sizes, the smallest first."""
        rng = random.Random(self.search.seed)
        drawn = [self.space.sample_feasible(rng, tries=_TRIES) for _ in range(8 * number)]
        specs = {spec.digest: spec for c in drawn if c and (spec := self.space.decode(c))}
        ordered = sorted(specs.values(), key=lambda spec: (count(spec).macs, spec.digest))
        last = len(ordered) - 1
        picked = {round(last * (2 * i + 1) / (2 * number)) for i in range(number)}
        return [ordered[index] for index in sorted(picked) if ordered]


def settings_of(
    space: SearchSpace,
    said: Mapping[str, Any],
    *,
    name: str | None,
    results: str | Path,
    data: Data | None = None,
    download: bool = False,
    confirm_budget: str | None = None,
    sources: Sequence[Path] = (),
    machines: Machines | None = None,
) -> Settings:
    """The settings behind the arguments of a search.

    ``said`` holds fields of the space's section ``search``, None where nothing was said; the others
    are as in ``search``.

    Raises:
        UsageError: An argument cannot be taken.
    """
    sampler_name, sampler = named_sampler(said.get("sampler"), place="--sampler")
    pruner_name, pruner = named_pruner(said.get("pruner"), place="--pruner")
    said = {**said, "sampler": sampler_name, "pruner": pruner_name}
    search, at = override(space.search, **said), space.place_of
    if sampler is None:
        load_sampler(search.sampler, place="--sampler" if sampler_name else at("search.sampler"))
    if pruner is None:
        load_pruner(search.pruner, place="--pruner" if pruner_name else at("search.pruner"))
    if data is not None:
        sides = space.trained_sides.values()
        data = name_of(data, resolution=space.proxy.resolution, sides=sides)
    confirm, budget = space.search.confirm, confirm_budget
    share = _CONFIRM_SHARE if isinstance(confirm, bool) else confirm
    return Settings(
        space=space,
        search=search,
        path=study_path(results, space.name if name is None else name),
        data=space.proxy.data if data is None else data,
        download=download,
        options=_options(said, data=data, name=name, confirm_budget=budget),
        sources=tuple(sources),
        budget=(share, None) if budget is None else parse_budget(budget, place="--confirm-budget"),
        sampler=sampler,
        pruner=pruner,
        machines=machines or Machines(),
    )


def _options(
    said: Mapping[str, Any], *, data: str | None, name: str | None, confirm_budget: str | None
) -> dict[str, Any]:
    """What was said as the command line takes it, in the order of its own."""
    limit = said.get("time_limit_s")
    options = {
        "data": data,
        **{key: said.get(key) for key in ("trials", "epochs", "seed", "sampler", "pruner")},
        "hours": None if said.get("hours") is None else f"{said['hours']:g}",
        "name": name,
        "confirm-budget": confirm_budget,
        "time": None if limit is None else f"{limit:.3f}".rstrip("0").rstrip(".") + "s",
    }
    return {option: value for option, value in options.items() if value is not None}


def parse_budget(text: str, *, place: str) -> tuple[float, float | None]:
    """The budget of ``20%``, ``1h30m`` or ``0``: a share, and seconds in its place if any.

    Raises:
        UsageError: It is something else.
    """
    share = _SHARE.fullmatch(text.strip())
    if share is not None and float(share[1]) <= 100 * MOST_CONFIRMATION:
        return float(share[1]) / 100, None
    if text.strip() == "0":
        return 0.0, None
    seconds = parse_duration(text.strip())
    if seconds is None:
        raise UsageError(
            f"{text!r} is neither a share such as 20% nor a time such as 10m",
            place=place,
            help=f"use up to {100 * MOST_CONFIRMATION:.0f}% of the search's time, or a time",
        )
    return 0.0, seconds


def conditions_of(space: SearchSpace) -> Conditions:
    """The target of a space at the resolution of its base, in its first precision and batch."""
    sides = space.base["resolution"]
    height, width = sides if isinstance(sides, list) else (sides, sides)
    first = {"precision": space.target.precisions[0], "batch": space.target.batches[0]}
    return Conditions(resolution=(height, width), **{**asdict(space.target), **first})


def space_of(header: Mapping[str, Any], *, path: Path) -> SearchSpace:
    """The space of the study in a folder, as its header keeps it, in the backend it settled on."""
    text, name = header["space_text"], header["space_name"]
    return SearchSpace(text, source=str(path / SPACE), name=name).on(backend_of(header))


def backend_of(header: Mapping[str, Any]) -> str:
    """The backend in which a study times its candidates."""
    conditions = header.get("conditions") or asdict(Conditions())
    return str(conditions["backend"])


def space_entries(space: SearchSpace) -> dict[str, Any]:
    """What a header keeps of the space, beside its size."""
    return {
        "space_text": space.text,
        "space_name": space.name,
        "space_digest": space.digest,
        "axes": {a.name: [a.label(i) for i in range(len(a.values))] for a in space.axes},
        "question": space.question,
    }


def some_feasible(
    space: SearchSpace, rng: random.Random, *, whole: int, draws: int, tries: int
) -> list[Choices]:
    """Every feasible candidate of a space of at most so many, else what so many draws find."""
    if space.size() <= whole:
        return [choices for choices in space.enumerate() if space.is_feasible(choices)]
    drawn = (space.sample_feasible(rng, tries=tries) for _ in range(draws))
    return [choices for choices in drawn if choices is not None]
