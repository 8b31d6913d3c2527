"""What was asked for: the base, its forms, their proxy, and how much of it fits into the time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import ArchbenchError, SpecError, UsageError
from archbench.search.ablation.knob import Check, Form, built, forms_of
from archbench.search.ablation.paper import PAPERS, PaperTables, Scale, rows_of
from archbench.study.study_folder import valid_name

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.models import ArchSpec

WANTED_SEEDS = 3  # fewer leave an interval that is hardly ever narrow enough to say anything
_FEWEST_SEEDS = 2
_FEWEST_EPOCHS = 2
_POINTS = 3  # of a curve, and checkpoints of a training, about


@dataclass(frozen=True, kw_only=True)
class Request:
    """An ablation that somebody asked for.

    Attributes:
        path: Its folder.
        base: The base.
        forms: The others; illegal ones among them.
        proxy: What accuracy is taken on, but for the plan and the number of classes.
        paper: Name of the paper whose tables these are, or None.
        notes: What a person should know about it.
    """

    path: Path
    base: Form
    forms: tuple[Form, ...]
    proxy: Proxy
    paper: str | None
    notes: tuple[str, ...]

    @property
    def trained(self) -> tuple[Form, ...]:
        """The base and the legal forms, each network and training once."""
        legal: dict[str, Form] = {}
        for form in (self.base, *self.forms):
            if form.spec:
                legal.setdefault(form.key, form)
        return tuple(legal.values())

    def asked(self, *, latency: bool) -> dict[str, Any]:
        """What must be the same when it is resumed, JSON-able."""
        proxy = self.proxy
        return {
            "forms": {form.name: form.key for form in (self.base, *self.forms)},
            "data": proxy.data,
            "resolution": proxy.resolution,
            "stem": proxy.stem,
            "scale": proxy.scale,
            "epochs": proxy.recipe.epochs,
            "batch": proxy.recipe.batch,
            "seed": proxy.recipe.seed,
            "teacher": proxy.recipe.teacher,
            "device": proxy.device,
            "latency": latency,
        }


def requested(
    base: ArchSpec | None,
    *,
    axes: Sequence[str] = (),
    paper: str | None = None,
    data: str = "cluttered_digits",
    resolution: int | None = None,
    stem: str | None = None,
    scale: float | None = None,
    epochs: int | None = None,
    seeds: int | None = None,
    batch: int = 32,
    seed: int = 0,
    teacher: str | None = None,
    device: str = "cpu",
    name: str | None = None,
    results: Path = Path("results"),
) -> Request:
    """The request behind the arguments of an ablation; a paper's own scale where nothing is said.

    Raises:
        UsageError: An argument cannot be taken, or nothing is to be compared.
        SpecError: The base is illegal, also as a proxy.
        ArchbenchError: An axis cannot be read.
    """
    from archbench.evaluate.proxy import Proxy
    from archbench.train.recipe import Plan, Recipe

    tables: PaperTables | None = PAPERS.load(paper, place="--paper").PAPER if paper else None
    base = _base(base, tables, axes)
    default = tables.scale if tables else Scale()
    own = dict(tables.training) if tables else {}
    if teacher is not None:
        own["teacher"] = teacher
    count = epochs or default.epochs
    recipe = Recipe(rungs=rungs(count), batch=batch, seed=seed, **own)
    proxy = Proxy(
        data=data,
        resolution=resolution or default.resolution,
        num_classes=base.num_classes,
        stem=stem or default.stem,
        num_seeds=seeds or default.seeds,
        recipe=recipe,
        plan=Plan(),
        device=device,
        scale=default.scale if scale is None else scale,
    )
    check: Check = proxy.spec
    _check_base(base, check)
    if tables:
        forms = rows_of(tables, recipe=recipe, check=check)
    else:
        forms = forms_of(base, axes, recipe=recipe, check=check)
    start = built(Form(name="base"), lambda: base)
    if all(form.reason or form.key == start.key for form in forms):
        told = "; ".join(f"{form.name}: {form.reason or 'is the base'}" for form in forms)
        raise UsageError(f"no form is left to compare with the base: {told}", place="--axes")
    folder = name or f"ablate-{paper or re.sub(r'[^A-Za-z0-9._-]+', '-', base.name or 'network')}"
    return Request(
        path=results / valid_name(folder),
        base=start,
        forms=forms,
        proxy=proxy,
        paper=paper,
        notes=(tables.note,) if tables and tables.note else (),
    )


def rungs(epochs: int) -> tuple[int, ...]:
    """After which epochs a training can be gone on with: some three, the last among them."""
    every = -(-epochs // _POINTS)
    return tuple(sorted({*range(every, epochs, every), epochs}))


def with_epochs(proxy: Proxy, epochs: int) -> Proxy:
    """The proxy with trainings of another length."""
    return replace(proxy, recipe=replace(proxy.recipe, rungs=rungs(epochs)))


def trained_as(training: Mapping[str, Any], proxy: Proxy) -> Proxy:
    """The proxy with what a form changes in the recipe."""
    return replace(proxy, recipe=replace(proxy.recipe, **training)) if training else proxy


def of_all_sizes(forms: Sequence[Form], *, proxy: Proxy, number: int) -> list[Mapping[str, Any]]:
    """Some networks that cost together what all of them cost on average, by their proxies."""
    from archbench.models import as_spec, count

    specs = {form.digest: form.spec for form in forms if form.spec}
    macs = {digest: count(proxy.spec(as_spec(spec))).macs for digest, spec in specs.items()}
    ordered = sorted(specs, key=lambda digest: (macs[digest], digest))
    last = len(ordered) - 1
    picked = {round(last * (2 * i + 1) / (2 * number)) for i in range(number)}
    return [specs[ordered[index]] for index in sorted(picked)]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is to be trained.

    Attributes:
        forms: Networks that are trained.
        seeds: Trainings of each.
        epochs: Of each training.
        epoch_seconds: What an epoch of one training takes a worker, on average.
        workers: Trainings at a time.
        before_seconds: What is done before the first training.
    """

    forms: int
    seeds: int
    epochs: int
    epoch_seconds: float
    workers: int
    before_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """How long all of it takes; seeds are trained one after another, form by form."""
        rounds = math.ceil(self.forms * self.seeds / self.workers)
        return self.before_seconds + rounds * self.epochs * self.epoch_seconds

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return (
            f"{self.forms} networks x {self.seeds} seeds x {self.epochs} epochs on {workers}: "
            f"about {_minutes(self.seconds)}, of which a training takes "
            f"{self.epochs * self.epoch_seconds:.0f} s"
        )

    def shortened_from(self, asked: Workload) -> list[str]:
        """What was left out to fit into the time, in words; nothing where all fits."""
        if asked == self:
            return []
        return [
            f"planned {self.seeds} of {asked.seeds} seeds and {self.epochs} of {asked.epochs} "
            f"epochs to stay within the time; all would take about {_minutes(asked.seconds)}"
        ]


def within(work: Workload, *, max_seconds: float | None) -> Workload:
    """The work with as many seeds, then as many epochs, as fit; as it is without a limit.

    Seeds go first, down to three, then epochs down to two, then the third seed.

    Raises:
        UsageError: Not even two seeds of two epochs fit.
    """
    if max_seconds is None or work.seconds <= max_seconds:
        return work
    fewest, few = min(work.seeds, _FEWEST_SEEDS), min(work.seeds, WANTED_SEEDS)
    shortest = min(work.epochs, _FEWEST_EPOCHS)
    tries = [(seeds, work.epochs) for seeds in range(work.seeds - 1, few - 1, -1)]
    tries += [(few, epochs) for epochs in range(work.epochs - 1, shortest - 1, -1)]
    tries += [(fewest, epochs) for epochs in range(work.epochs, shortest - 1, -1)]
    for seeds, epochs in tries:
        tried = replace(work, seeds=seeds, epochs=epochs)
        if tried.seconds <= max_seconds:
            return tried
    least = replace(work, seeds=fewest, epochs=shortest)
    raise UsageError(
        f"{max_seconds / 60:.3g} minutes are too few: {fewest} seeds of {shortest} epochs take "
        f"about {least.seconds / 60:.0f}",
        place="--max-minutes",
        help="give more time, fewer axes, a smaller --scale or --resolution",
    )


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _base(base: ArchSpec | None, tables: PaperTables | None, axes: Sequence[str]) -> ArchSpec:
    from archbench.models import as_spec

    if tables:
        if base is not None or axes:
            raise UsageError(
                "a paper's tables have their own base and rows",
                place="--paper",
                help="leave out the network and --axes, or leave out --paper",
            )
        return as_spec(tables.base)
    if base is None:
        raise UsageError(
            "no network to change",
            place="archbench ablate",
            help="name one with its axes, for example: archbench ablate levit_128s --axes "
            f"position=bias,none; or a paper: --paper {' or '.join(PAPERS.names)}",
        )
    if not axes:
        raise UsageError(
            "nothing to turn", place="--axes", help="for example --axes position=bias,none"
        )
    return base


def _check_base(base: ArchSpec, check: Check) -> None:
    try:
        base.resolved()
        check(base)
    except SpecError as error:
        raise _as_base(error) from None


def _as_base(error: ArchbenchError) -> SpecError:
    return SpecError(f"the base is illegal: {error}", place="archbench ablate", help=error.help)
