"""The work of a study beside its trials: the data, the price, the confirmation, the test."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.search.job import Send
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement

if TYPE_CHECKING:
    from archbench.evaluate import Plan, Price, Proxy, Target


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is.

    Attributes:
        what: What is being done.
        done: How much of it.
        total: Of how much.
    """

    what: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class DataJob:
    """Prepares the data, so that every worker finds them in the cache, and describes them."""

    number: int = 0
    name: str
    resolution: int
    download: bool

    def run(self, send: Send) -> dict[str, Any]:
        """Sends how far it is, and gives what the study's header keeps of the data."""
        from archbench.evaluate import describe, open_data

        def tell(what: str, done: int, total: int) -> None:
            send(Progress(what=what, done=done, total=total))

        dataset = open_data(
            self.name, resolution=self.resolution, download=self.download, progress=tell
        )
        return describe(dataset)


@dataclass(frozen=True, kw_only=True)
class TeacherJob:
    """Trains the teacher of a proxy, so that every worker finds it in the cache."""

    number: int = 0
    proxy: Proxy

    def run(self, send: Send) -> tuple[dict[str, Any], str] | None:
        """Sends how far it is, and gives the teacher's facts, also in words; None without one."""
        from archbench.evaluate import open_teacher, teacher_in_words

        def tell(what: str, done: int, total: int) -> None:
            send(Progress(what=what, done=done, total=total))

        proxy = self.proxy
        teacher = open_teacher(
            proxy.data,
            resolution=proxy.resolution,
            recipe=proxy.recipe,
            device=proxy.device,
            progress=tell,
        )
        return (teacher.facts(), teacher_in_words(teacher)) if teacher else None


@dataclass(frozen=True, kw_only=True)
class PriceJob:
    """Takes the calibration constants, tries some candidates and gives what a trial costs.

    Attributes:
        specs: The candidates as documents.
        proxy: As it will be, but for the plan.
        conditions: Of the latency; None where none is measured.
        environment: The machine, captured before anything was pinned.
        plan: How trainings are computed, where an earlier study has chosen it.
        plan_budget_s: Seconds for the choice of each candidate's plan.
    """

    number: int = 0
    specs: Sequence[Mapping[str, Any]]
    proxy: Proxy
    conditions: Conditions | None
    environment: Environment
    plan: Plan | None = None
    plan_budget_s: float = 4.0

    def run(self, send: Send) -> tuple[Target | None, Price]:
        """The target with this machine's constants, and the price of a trial."""
        from archbench.evaluate import as_spec, calibrated, price

        target = (
            calibrated(self.conditions, environment=self.environment) if self.conditions else None
        )
        specs = [as_spec(spec) for spec in self.specs]
        found = price(
            specs,
            proxy=self.proxy,
            target=target,
            plan=self.plan,
            plan_budget_s=self.plan_budget_s,
        )
        return target, found


@dataclass(frozen=True, kw_only=True)
class ConfirmJob:
    """Times networks in turn with one another."""

    number: int = 0
    specs: Mapping[str, Mapping[str, Any]]
    target: Target

    def run(self, send: Send) -> dict[str, Measurement]:
        """Name to latency."""
        from archbench.evaluate import as_spec

        specs = {name: as_spec(spec) for name, spec in self.specs.items()}
        return self.target.measure_together(specs)


@dataclass(frozen=True, kw_only=True)
class LatencyJob:
    """Times networks one by one, as trials are."""

    number: int = 0
    specs: Mapping[str, Mapping[str, Any]]
    target: Target

    def run(self, send: Send) -> dict[str, Measurement]:
        """Name to latency."""
        from archbench.evaluate import as_spec

        return {name: self.target.measure(as_spec(spec)) for name, spec in self.specs.items()}


@dataclass(frozen=True, kw_only=True)
class SealedTestJob:
    """Takes the accuracy of a trial's trainings on the sealed test share."""

    number: int
    spec: Mapping[str, Any]
    proxy: Proxy
    weights: Sequence[Path]

    def run(self, send: Send) -> float:
        """The mean over the trainings, 0 to 1."""
        from archbench.evaluate import as_spec

        spec = as_spec(self.spec)
        return statistics.fmean(self.proxy.test(spec, weights=file) for file in self.weights)
