"""What was asked for: the base, its forms, and on what their accuracy is taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import ArchbenchError, SpecError, UsageError
from archbench.search.ablation.form import Form, built
from archbench.search.ablation.knob import Check, forms_of
from archbench.search.ablation.paper import PAPERS, PaperTables, Scale, rows_of
from archbench.search.settings import num_workers
from archbench.study.folder import valid_name

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.models import ArchSpec

_POINTS = 3  # of a curve, and checkpoints of a training, about


@dataclass(frozen=True, kw_only=True)
class Request:
    """An ablation that somebody asked for.

    Attributes:
        path: Its folder.
        base: The base.
        forms: The others; illegal ones among them.
        proxy: What accuracy is taken on, but for the plan and the number of classes.
        latency: Whether latency is measured.
        max_seconds: How long it may take by plan, or None.
        workers: Trainings at a time, or None for as many as the machine serves.
        download: Whether missing data may be fetched.
        paper: Name of the paper whose tables these are, or None.
        notes: What a person should know about it.
    """

    path: Path
    base: Form
    forms: tuple[Form, ...]
    proxy: Proxy
    latency: bool
    max_seconds: float | None
    workers: int | None
    download: bool
    paper: str | None
    notes: tuple[str, ...]

    @property
    def trained(self) -> tuple[Form, ...]:
        """The base and the legal forms, each network and training once."""
        legal = {form.key: form for form in reversed((self.base, *self.forms)) if form.spec}
        return tuple(reversed(legal.values()))

    def asked(self) -> dict[str, Any]:
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
            "latency": self.latency,
        }

    def num_workers(self, *, left: int) -> int:
        """Trainings at a time: what was asked for, else what cores, memory and GPU serve."""
        return num_workers(self.workers, device=self.proxy.device, threads=1, left=left)


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
    latency: bool = True,
    max_minutes: float | None = None,
    workers: int | None = None,
    download: bool = False,
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
    from archbench.models import as_spec
    from archbench.train.plan import Plan
    from archbench.train.recipe import Recipe

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
        base = as_spec(tables.base)
        forms = rows_of(tables, recipe=recipe, check=check)
    else:
        forms = forms_of(base, axes, recipe=recipe, check=check)
    start = built(base, name="base")
    if all(form.reason or form.key == start.key for form in forms):
        told = "; ".join(f"{form.name}: {form.reason or 'is the base'}" for form in forms)
        raise UsageError(f"no form is left to compare with the base: {told}", place="--axes")
    folder = name or f"ablate-{paper or re.sub(r'[^A-Za-z0-9._-]+', '-', base.name or 'network')}"
    return Request(
        path=results / valid_name(folder),
        base=start,
        forms=forms,
        proxy=proxy,
        latency=latency,
        max_seconds=None if max_minutes is None else 60 * max_minutes,
        workers=workers,
        download=download,
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


def proxy_of(form: Form, proxy: Proxy) -> Proxy:
    """The proxy with what a form changes in the recipe."""
    changed: Mapping[str, Any] = form.training
    return replace(proxy, recipe=replace(proxy.recipe, **changed)) if changed else proxy


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
