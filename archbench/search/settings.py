"""What was asked for, with the space's own words wherever nothing was said."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.command_line import command_line
from archbench.errors import UsageError
from archbench.registry import Registry
from archbench.search.budget import Budget
from archbench.search.growth import refuse_other_meaning, refuse_other_search
from archbench.search.pruning import PRUNERS
from archbench.search.sampler import load_sampler
from archbench.space import SearchSpace, shipped
from archbench.study.folder import SPACE, resume_command, valid_name
from archbench.study.measurement import Conditions
from archbench.study.objective import costs
from archbench.study.quota import usable_cores, usable_memory_bytes

if TYPE_CHECKING:
    from archbench.models import ArchSpec

ENGINES = Registry("archbench.search.engines", "engine")

_WORKER_BYTES = 2 * 2**30  # a training process was seen to hold 1.1 GB
_MEMORY_SHARE = 0.9
_TRIES = 2_000


@dataclass(frozen=True, kw_only=True)
class Request:
    """A search that somebody asked for.

    Attributes:
        space: What is searched.
        path: The study folder.
        trials: Trials that the study shall have at most.
        epochs: Epochs trained in all after which no trial is begun, or None.
        time_limit_s: Seconds after which no trial is begun, or None.
        seed: Of proposals and trainings.
        sampler: Name of the sampler.
        pruner: Name of the rule that stops trainings early.
        data: Name of the data set.
        workers: Trials at a time; None for as many as the machine serves.
        download: Whether missing data may be fetched.
        certify: Whether a certificate of the proxy comes first: ``auto``, ``always``, ``never``.
        options: What was said explicitly, for the command that repeats it.
        sources: Folders of the earlier studies from which it starts.
        confirm_budget: What further trainings of those in doubt may take; the space says by
            default.
    """

    space: SearchSpace
    path: Path
    trials: int
    epochs: int | None
    time_limit_s: float | None
    seed: int
    sampler: str
    pruner: str
    data: str
    workers: int | None
    download: bool
    options: Mapping[str, Any]
    sources: tuple[Path, ...] = ()
    confirm_budget: Budget | None = None
    certify: str = "auto"

    @property
    def name(self) -> str:
        """The study's."""
        return self.path.name

    @property
    def wants_latency(self) -> bool:
        """Whether what a timing gives is an objective or has a limit."""
        return not {*self.space.objectives, *self.space.limits}.isdisjoint(costs("latency"))

    @property
    def confirmation_budget(self) -> Budget:
        """What the confirmation may spend on training."""
        if self.confirm_budget is not None:
            return self.confirm_budget
        said = self.space.search.confirm
        return Budget() if isinstance(said, bool) else Budget(share=said)

    @property
    def conditions(self) -> Conditions:
        """On what latency is measured, at the resolution of the space's base."""
        return conditions_of(self.space)

    @property
    def training_device(self) -> str:
        """Where candidates are trained: on the kind of device that they are made for."""
        return "cuda" if self.space.target.device.startswith("cuda") else "cpu"

    @property
    def expected_trials(self) -> int:
        """Trials that the study will have if none is stopped early; no candidate is tried twice."""
        proxy = self.space.proxy
        most = min(self.trials, self.space.size())
        if self.epochs is None:
            return most
        return min(most, math.ceil(self.epochs / (proxy.rungs[-1] * proxy.seeds)))

    def num_workers(self, *, left: int) -> int:
        """Trials at a time: what was asked for, else what cores, memory and GPU serve.

        Args:
            left: Trials that are still to run.
        """
        if self.workers is not None:
            return self.workers
        if self.training_device == "cuda":
            return 1  # who is timed on the only GPU must be alone on it
        by_cores = usable_cores() // self.space.target.threads
        by_memory = int(usable_memory_bytes() // _WORKER_BYTES)
        return max(1, min(by_cores, by_memory, left))

    def worker_memory_bytes(self, *, workers: int) -> int:
        """What one of so many workers may hold."""
        return int(_MEMORY_SHARE * usable_memory_bytes() / workers)

    @property
    def space_to_type(self) -> str:
        """What a command takes for the space: the study's copy where no name will do."""
        return self.space.name if _is_shipped(self.space) else str(self.path / SPACE)

    @property
    def command(self) -> str:
        """What to type to repeat the search."""
        words = ["archbench", "search", self.space_to_type]
        for option, value in self.options.items():
            words += [f"--{option}", str(value)]
        for source in self.sources:
            words += ["--from", str(source)]
        return command_line(*words)

    def some_candidates(self, number: int) -> list[ArchSpec]:
        """At most so many feasible candidates of different sizes, the smallest first."""
        from archbench.models import count

        rng = random.Random(self.seed)
        drawn = [self.space.sample_feasible(rng, tries=_TRIES) for _ in range(8 * number)]
        specs = {spec.digest: spec for c in drawn if c and (spec := self.space.decode(c))}
        ordered = sorted(specs.values(), key=lambda spec: (count(spec).macs, spec.digest))
        last = len(ordered) - 1
        picked = {round(last * (2 * i + 1) / (2 * number)) for i in range(number)}
        return [ordered[index] for index in sorted(picked) if ordered]


def conditions_of(space: SearchSpace) -> Conditions:
    """What the target of a space is, at the resolution of its base."""
    target, resolution = space.target, space.base["resolution"]
    sides = resolution if isinstance(resolution, list) else [resolution, resolution]
    return Conditions(
        resolution=(sides[0], sides[1]),
        device=target.device,
        backend=target.backend,
        precision=target.precision,
        batch=target.batch,
        threads=target.threads,
    )


def _is_shipped(space: SearchSpace) -> bool:
    """Whether the space is one that the package ships, with nothing changed."""
    return space.name in shipped() and SearchSpace.load(space.name).text == space.text


def requested(
    space: SearchSpace,
    *,
    trials: int | None,
    epochs: int | None = None,
    time_limit_s: float | None,
    name: str | None,
    results: Path,
    data: str | None,
    workers: int | None,
    seed: int | None,
    sampler: str | None,
    pruner: str | None = None,
    download: bool,
    sources: Sequence[Path] = (),
    resume: bool = False,
    confirm_budget: str | None = None,
    certify: bool | None = None,
) -> Request:
    """The request behind the arguments of a search.

    Raises:
        UsageError: An argument cannot be taken.
    """
    for option, value, least in (
        ("--trials", trials, 1),
        ("--epochs", epochs, 1),
        ("--workers", workers, 1),
        ("--seed", seed, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"{value} cannot be", place=option, help=f"use {least} or more")
    if time_limit_s is not None and not time_limit_s > 0:
        raise UsageError(f"{time_limit_s} s is no time", place="--time", help="use 20m or the like")
    if sources and resume:
        raise UsageError(
            "a study that goes on takes nothing from another",
            place="--from",
            help="leave out --resume and give another --name to begin one from both: "
            f"--from {results / (name or space.name)} --from {sources[0]}",
        )
    said: dict[str, Any] = {
        "data": data,
        "trials": trials,
        "epochs": epochs,
        "seed": seed,
        "sampler": sampler,
        "pruner": pruner,
        "name": name,
        "confirm-budget": confirm_budget,
    }
    if time_limit_s is not None:
        said["time"] = f"{time_limit_s:.3f}".rstrip("0").rstrip(".") + "s"
    section = space.search
    chosen = section.sampler if sampler is None else sampler
    load_sampler(chosen, place="--sampler" if sampler else "search.sampler")
    stops = section.pruner if pruner is None else pruner
    PRUNERS.load(stops, place="--pruner" if pruner else "search.pruner")
    if trials is None:
        trials = section.trials if epochs is None else epochs
    return Request(
        space=space,
        path=results / valid_name(space.name if name is None else name),
        trials=trials,
        epochs=section.epochs if epochs is None else epochs,
        time_limit_s=section.time_limit_s if time_limit_s is None else time_limit_s,
        seed=section.seed if seed is None else seed,
        sampler=chosen,
        pruner=stops,
        data=space.proxy.data if data is None else data,
        workers=section.workers if workers is None else workers,
        download=download,
        confirm_budget=None
        if confirm_budget is None
        else Budget.parse(confirm_budget, place="--confirm-budget"),
        certify=section.certify if certify is None else "always" if certify else "never",
        options={option: value for option, value in said.items() if value is not None},
        sources=tuple(sources),
    )


def space_of(header: Mapping[str, Any], *, path: Path) -> SearchSpace:
    """The space of the study in a folder, as its header keeps it."""
    text, name = header["space_text"], header["space_name"]
    return SearchSpace.parse(text, source=str(path / SPACE), name=name)


def as_begun(request: Request, header: Mapping[str, Any]) -> Request:
    """The request with what the study was begun with.

    Its space is the study's own, or another one in which numbers mean the same; where that names
    another number of trials or epochs, that is how many there shall be. Spaces that the study has
    outgrown count as its own.

    Raises:
        UsageError: Something else was asked for now.
    """
    begun = {
        "seed": header["seed"],
        "sampler": header["sampler"],
        "pruner": header.get("pruner", "none"),
        "data": header["proxy"]["data"],
    }
    words = ("archbench", "search", "SPACE", "--from", request.path, "--name", "NAME")
    another = command_line(*words)
    for key, value in begun.items():
        if request.options.get(key, value) != value:
            raise UsageError(
                f"the study was begun with the {key} {value}, not {request.options[key]}",
                place=str(request.path),
                help=f"resume it as it was begun: {resume_command(request.path)}; or begin "
                f"another from it: {another}",
            )
    own = space_of(header, path=request.path)
    outgrown = {entry["text"] for entry in header.get("spaces", ())}
    is_own = request.space.text in {own.text, *outgrown}
    if not is_own:
        refuse_other_meaning(own, request.space, path=request.path)
        refuse_other_search(own, request.space, header=header, path=request.path)
    trials, epochs = max(header["trials"], request.options.get("epochs", 0)), header.get("epochs")
    if not is_own and _budget(request.space) != _budget(own):
        trials, epochs = request.trials, request.epochs
    return replace(
        request,
        space=own if is_own else request.space,
        seed=begun["seed"],
        sampler=begun["sampler"],
        pruner=begun["pruner"],
        data=begun["data"],
        trials=request.options.get("trials", trials),
        epochs=request.options.get("epochs", epochs),
    )


def _budget(space: SearchSpace) -> tuple[int, int | None]:
    return space.search.trials, space.search.epochs
