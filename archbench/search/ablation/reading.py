"""What does an ablation's folder say of each form?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archbench.analysis.ablation import AblationRecord, FormRecord, FormState
from archbench.search.ablation import store
from archbench.search.ablation.effect import (
    METHOD,
    comparison,
    finding,
    latency_difference,
    paired_difference,
)
from archbench.search.ablation.form import Form, form_of
from archbench.search.ablation.training import Trainings

_KEPT = ("created", "command", "paper", "notes", "environment", "conditions", "proxy", "seeds")


def read_ablation(path: Path) -> AblationRecord:
    """Everything that is known of an ablation, with differences; it may still be running.

    Raises:
        StorageError: There is no ablation, or it cannot be read.
    """
    plan = store.read_plan(path)
    trainings = Trainings.of(path, plan)
    base = form_of(plan["base"])
    records = [
        _record(form_of(document), base=base, trainings=trainings)
        for document in (plan["base"], *plan["forms"])
    ]
    return AblationRecord(
        path=path,
        header={key: plan[key] for key in _KEPT} | {"method": METHOD},
        base=records[0],
        forms=tuple(records[1:]),
        num_trainings=trainings.num_total,
        num_done=trainings.num_done,
    )


def _record(form: Form, *, base: Form, trainings: Trainings) -> FormRecord:
    accuracies = _first_seeds(trainings.accuracies.get(form.key, {}), trainings.num_seeds)
    known: dict[str, Any] = {
        "name": form.name,
        "knob": form.knob,
        "value": form.value,
        "training": form.training,
    }
    if form.spec is None:
        return FormRecord(
            **known,
            state="illegal",
            reason=form.reason,
            finding="cannot be built",
            paper=_paper(form, None, 0),
        )
    is_base = form.key == base.key
    theirs = _first_seeds(trainings.accuracies.get(base.key, {}), trainings.num_seeds)
    difference = None if is_base else paired_difference(accuracies, theirs)
    pairs = len(accuracies.keys() & theirs.keys())
    failed = _failed(form, trainings)
    state: FormState = "base" if is_base else "trained" if accuracies else "waiting"
    if not accuracies and len(failed) == trainings.num_seeds:
        state = "failed"
    told = "" if is_base else finding(difference, num_pairs=pairs)
    return FormRecord(
        **known,
        state=state,
        reason="; ".join(failed),
        digest=form.digest,
        spec=form.spec,
        params=form.params,
        macs=form.macs,
        latency=trainings.latencies.get(form.digest),
        accuracies=accuracies,
        latency_difference=None
        if form.digest == base.digest
        else latency_difference(
            trainings.latencies.get(form.digest), trainings.latencies.get(base.digest)
        ),
        accuracy_difference=difference,
        num_pairs=0 if is_base else pairs,
        finding="every training failed" if state == "failed" else told,
        paper=_paper(form, difference, pairs),
    )


def _paper(form: Form, difference: Any, pairs: int) -> Any:
    return comparison(form.printed, difference, num_pairs=pairs) if form.printed else None


def _failed(form: Form, trainings: Trainings) -> list[str]:
    return [
        f"seed {seed} failed ({kind}): {message}"
        for (key, seed), (kind, message) in sorted(trainings.failures.items())
        if key == form.key
    ]


def _first_seeds(accuracies: Mapping[int, float], count: int) -> dict[int, float]:
    return {seed: accuracies[seed] for seed in sorted(accuracies) if seed < count}
