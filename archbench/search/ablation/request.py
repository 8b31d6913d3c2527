"""What is compared: a base and its forms, on which proxy, and how much of it fits into the time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from archbench.data import name_of
from archbench.errors import SpecError, UsageError
from archbench.evaluate.proxy import Proxy
from archbench.models import ArchSpec, Written, as_spec, count
from archbench.models.catalogue import ablation_names, entry
from archbench.registry import Registry
from archbench.search.ablation.factor import Form, built, forms_of
from archbench.search.affordable import in_minutes
from archbench.search.trainings import too_little_time
from archbench.train.recipe import Plan, Recipe

PAPERS = Registry("archbench.search.ablation.papers", "paper")

_WANTED_SEEDS = 3  # fewer leave an interval that is hardly ever narrow enough to say anything
_FEWEST_SEEDS = 2
_FEWEST_EPOCHS = 2
_POINTS = 3  # of a curve, and checkpoints of a training, about


@dataclass(frozen=True, kw_only=True)
class AblationSettings:
    """On what the accuracies of an ablation are taken.

    The scale is that of all widths; of the stem see ``archbench.models.proxy``. ``seeds`` is the
    number of trainings of each form, ``seed`` that of order, augmentation, weights and teacher.
    """

    data: str = "cluttered_digits"
    resolution: int = 64
    stem: str = "keep_grid"
    scale: float = 1.0
    epochs: int = 8
    seeds: int = 5
    batch: int = 32
    seed: int = 0
    teacher: str = "none"
    device: str = "cpu"

    def proxy(self, *, num_classes: int) -> Proxy:
        """What accuracy is taken on, but for the plan."""
        return Proxy(
            data=self.data,
            resolution=self.resolution,
            num_classes=num_classes,
            stem=self.stem,
            num_seeds=self.seeds,
            recipe=Recipe(
                rungs=rungs(self.epochs),
                batch=self.batch,
                seed=self.seed,
                teacher=self.teacher,
            ),
            plan=Plan(),
            device=self.device,
            scale=self.scale,
        )


@dataclass(frozen=True, kw_only=True)
class PaperTables:
    """The ablation tables of one paper: rows that differ from a base, with a note for people."""

    base: str
    rows: str  # how their names begin in the catalogue
    settings: AblationSettings
    note: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """An ablation that somebody asked for: a base and its forms, illegal ones among them."""

    name: str
    base: Form
    forms: tuple[Form, ...]
    settings: AblationSettings
    proxy: Proxy  # that of the settings, but for the plan and the number of classes
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
        forms = {form.name: form.key for form in (self.base, *self.forms)}
        same = {name: value for name, value in asdict(self.settings).items() if name != "seeds"}
        return {"forms": forms, **same, "latency": latency}


def requested(
    base: Written | None, *, axes: Sequence[str] = (), paper: str | None = None, **said: Any
) -> Request:
    """What is asked for, at a paper's own settings or the default ones where nothing is said.

    ``base`` is a network or its published name, None with a paper; of ``axes`` see ``forms_of``.
    ``said`` are fields of ``AblationSettings``, None where nothing was said.

    Raises:
        UsageError: An argument cannot be taken, or nothing is to be compared.
        SpecError: The base is illegal, also as a proxy.
        ArchbenchError: An axis cannot be read.
    """
    tables: PaperTables | None = PAPERS.load(paper, place="--paper").PAPER if paper else None
    spec = _base(base, tables, axes)
    settings = replace(
        tables.settings if tables else AblationSettings(),
        **{name: value for name, value in said.items() if value is not None},
    )
    settings = replace(settings, data=name_of(settings.data, resolution=settings.resolution))
    proxy = settings.proxy(num_classes=spec.num_classes)
    try:
        spec.resolved()
        proxy.spec(spec)
    except SpecError as error:
        message = f"the base is illegal: {error}"
        raise SpecError(message, place="archbench ablate", help=error.help) from None
    forms = _rows(tables, proxy=proxy) if tables else forms_of(spec, axes, proxy=proxy)
    start = Form(name="base", spec=spec)
    if all(form.reason or form.key == start.key for form in forms):
        told = "; ".join(f"{form.name}: {form.reason or 'is the base'}" for form in forms)
        raise UsageError(f"no form is left to compare with the base: {told}", place="--axes")
    return Request(
        name=f"ablate-{paper or re.sub(r'[^A-Za-z0-9._-]+', '-', spec.name or 'network')}",
        base=start,
        forms=forms,
        settings=settings,
        proxy=proxy,
        paper=paper,
        notes=(tables.note,) if tables else (),
    )


def _base(base: Written | None, tables: PaperTables | None, axes: Sequence[str]) -> ArchSpec:
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
            "no factor to change", place="--axes", help="for example --axes position=bias,none"
        )
    return as_spec(base)


def _rows(tables: PaperTables, *, proxy: Proxy) -> tuple[Form, ...]:
    """A form for each row with an accuracy in print, in the order of the catalogue."""
    forms = []
    for name in ablation_names():
        row = entry(name)
        is_printed = row.paper.top1 is not None and row.paper.base_top1 is not None
        if name.startswith(tables.rows) and name != tables.base and is_printed:
            changed = {k: v for k, v in row.training.items() if getattr(proxy.recipe, k) != v}
            short = name.rpartition("/")[2]
            form = Form(name=short, knob=name, training=changed, printed=row.paper)
            forms.append(built(form, name, proxy=proxy))
    return tuple(forms)


def rungs(epochs: int) -> tuple[int, ...]:
    """After which epochs a training can be gone on with: some three, the last among them."""
    every = -(-epochs // _POINTS)
    return tuple(sorted({*range(every, epochs, every), epochs}))


def trained_as(training: Mapping[str, Any], proxy: Proxy) -> Proxy:
    """The proxy with what a form changes in the recipe."""
    return replace(proxy, recipe=replace(proxy.recipe, **training)) if training else proxy


def of_all_sizes(forms: Sequence[Form], *, proxy: Proxy, number: int) -> list[Mapping[str, Any]]:
    """Some networks that cost together what all of them cost on average, by their proxies."""
    specs = {form.spec.digest: form.spec for form in forms if form.spec}
    macs = {digest: count(proxy.spec(spec)).macs for digest, spec in specs.items()}
    ordered = sorted(specs, key=lambda digest: (macs[digest], digest))
    last = len(ordered) - 1
    picked = {round(last * (2 * i + 1) / (2 * number)) for i in range(number)}
    return [specs[ordered[index]].to_document() for index in sorted(picked)]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is to be trained, where an epoch takes a worker so many seconds on average."""

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
            f"about {in_minutes(self.seconds)}, of which a training takes "
            f"{self.epochs * self.epoch_seconds:.0f} s"
        )

    def shortened_from(self, asked: Workload) -> list[str]:
        """What was left out to fit into the time, in words; nothing where all fits."""
        if asked == self:
            return []
        return [
            f"planned {self.seeds} of {asked.seeds} seeds and {self.epochs} of {asked.epochs} "
            f"epochs to stay within the time; all would take about {in_minutes(asked.seconds)}"
        ]


def within(work: Workload, *, max_seconds: float | None) -> Workload:
    """The work with as many seeds, then as many epochs, as fit; as it is without a limit.

    Seeds go first, down to three, then epochs down to two, then the third seed.

    Raises:
        UsageError: Not even two seeds of two epochs fit.
    """
    if max_seconds is None:
        return work
    fewest, few = min(work.seeds, _FEWEST_SEEDS), min(work.seeds, _WANTED_SEEDS)
    shortest = min(work.epochs, _FEWEST_EPOCHS)
    tries = [(seeds, work.epochs) for seeds in range(work.seeds, few - 1, -1)]
    tries += [(few, epochs) for epochs in range(work.epochs - 1, shortest - 1, -1)]
    tries += [(fewest, epochs) for epochs in range(work.epochs, shortest - 1, -1)]
    for seeds, epochs in tries:
        tried = replace(work, seeds=seeds, epochs=epochs)
        if tried.seconds <= max_seconds:
            return tried
    raise too_little_time(
        max_seconds,
        least=f"{fewest} seeds of {shortest} epochs",
        takes=tried.seconds,
        help="give more time, fewer axes, a smaller --scale or --resolution",
    )
