"""The work of an ablation beside its trainings: data, teachers, price, timing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import UsageError
from archbench.search.ablation import store
from archbench.search.ablation.form import Form, form_of
from archbench.search.ablation.job import time_forms
from archbench.search.ablation.request import Request, proxy_of
from archbench.search.ablation.training import Trainings
from archbench.search.context import Context
from archbench.search.jobs import prepare_data, prepare_teacher, price_trial
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.train.plan import Plan

OnProgress = Callable[[str, int, int], None]

TIMING_S = 10.0  # of budget for each network; the slowest may take three times that
_PRICED = 3
_PLAN_BUDGET_S = 15.0  # of a network's; all trainings of an hour hang on the choice


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The work beside the trainings, each alone on the engine."""

    context: Context
    progress: OnProgress

    def data(self, request: Request) -> dict[str, Any]:
        """What is known of the data, which are then in the cache."""
        proxy = request.proxy
        job = partial(
            prepare_data, name=proxy.data, resolution=proxy.resolution, download=request.download
        )
        facts: dict[str, Any] = self._finished(job)
        return facts

    def teachers(self, proxies: Sequence[Proxy]) -> dict[str, str]:
        """The sha256 of each teacher to what is to be said of it."""
        found: dict[str, str] = {}
        for proxy in {proxy.recipe.teacher: proxy for proxy in proxies}.values():
            if proxy.recipe.teacher != "none":
                facts, words = self._finished(partial(prepare_teacher, proxy=proxy))
                found[facts["sha256"]] = words
        return found

    def price(
        self, request: Request, *, proxy: Proxy, environment: Environment
    ) -> tuple[Plan, float]:
        """How steps are computed, and what one training takes on average."""
        specs = _of_all_sizes(request.trained, proxy=proxy)
        self.progress("trying what a training takes", 0, 1)
        job = partial(
            price_trial,
            specs=specs,
            proxy=replace(proxy, num_seeds=1),
            conditions=None,
            environment=environment,
            plan_budget_s=_PLAN_BUDGET_S,
        )
        _, price = self._finished(job)
        return price.plan, price.training_seconds

    def time(self, path: Path, plan: dict[str, Any]) -> None:
        """Measures every network, all of them in turn, and stores it in one line."""
        forms = [form_of(document) for document in (plan["base"], *plan["forms"])]
        specs = {form.digest: form.spec for form in forms if form.spec}
        job = partial(
            time_forms,
            specs=specs,
            conditions=Conditions.from_document(plan["conditions"]),
            environment=Environment(**plan["environment"]),
            budget_s=TIMING_S,
        )
        measured = self._finished(job, timeout_s=9 * TIMING_S * len(specs) + 300)
        store.append(
            path,
            {
                "kind": "latency",
                "measurements": {
                    digest: measurement.to_document() for digest, measurement in measured.items()
                },
            },
        )

    def check(self, plan: dict[str, Any], *, trainings: Trainings) -> None:
        """Sees that data and teachers are still those of the plan.

        Raises:
            UsageError: They have changed.
        """
        proxy = trainings.proxy
        job = partial(prepare_data, name=proxy.data, resolution=proxy.resolution, download=False)
        facts = self._finished(job)
        teachers = self.teachers([proxy_of(form, proxy) for form, _ in trainings.pending()])
        is_same = facts["data_digest"] == plan["proxy"]["data_digest"]
        if not is_same or not set(teachers) <= set(plan["proxy"]["teachers"]):
            raise UsageError(
                f"the {'teacher' if is_same else 'data'} has changed since it was begun",
                place=proxy.data,
                help="put it back as it was, or begin another with another --name",
            )

    def _finished(self, job: partial[Any], *, timeout_s: float = 24 * 3600.0) -> Any:
        return self.context.call(job, timeout_s=timeout_s, on_progress=self.progress)


def _of_all_sizes(forms: Sequence[Form], *, proxy: Proxy) -> list[Mapping[str, Any]]:
    """Some networks that cost together what all of them cost on average, by their proxies."""
    from archbench.models import as_spec, count

    specs = {form.digest: form.spec for form in forms if form.spec}
    macs = {digest: count(proxy.spec(as_spec(spec))).macs for digest, spec in specs.items()}
    ordered = sorted(specs, key=lambda digest: (macs[digest], digest))
    last = len(ordered) - 1
    picked = {round(last * (2 * i + 1) / (2 * _PRICED)) for i in range(_PRICED)}
    return [specs[ordered[index]] for index in sorted(picked)]
