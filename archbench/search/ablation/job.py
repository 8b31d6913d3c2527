"""What a worker of an ablation does beside trainings: it times all forms in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archbench.search.job import Send
from archbench.search.jobs import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement


def time_forms(
    send: Send,
    *,
    specs: Mapping[str, Mapping[str, Any]],
    conditions: Conditions,
    environment: Environment,
    budget_s: float,
) -> dict[str, Measurement]:
    """Digest to latency of the deployed form, of networks that are timed in turn.

    Args:
        send: Told how far it is.
        specs: Digest to network, as documents.
        conditions: All but the resolution, which is each network's own.
        environment: The machine, captured before anything was pinned.
        budget_s: Seconds for each, where the machine does not settle before.
    """
    from archbench.evaluate.target import calibrated
    from archbench.models import as_spec

    def tell(what: str, done: int, total: int) -> None:
        send(Progress(what=what, done=done, total=total))

    target = calibrated(conditions, environment=environment, on_progress=tell)
    networks = {digest: as_spec(spec) for digest, spec in specs.items()}
    return target.measure_together(networks, budget_s=budget_s, on_progress=tell)
