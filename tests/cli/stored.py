"""A study on disk, as a search of some seconds would leave it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from archbench.study.database import Store
from tests.report import plausible


def write_study(folder: Path, *, trials: int = 12, limit: float = 1.4) -> Path:
    """The folder of a study with so many plausible trials."""
    rng = random.Random(1)
    folder.mkdir(parents=True)
    header = plausible.header(name=folder.name, limits={"latency_ms": limit})
    with Store.create(folder / "study.db", header=header) as store:
        for number in range(trials):
            record = plausible.trial(number, rng, limit=limit)
            store.add_trial(
                replace(
                    record,
                    state="running",
                    latency=None,
                    curve=(),
                    proxy_accuracy=None,
                    failure=None,
                    reason="",
                    seconds=0.0,
                )
            )
            if record.latency is not None:
                store.add_measurement(number, "search", record.latency)
            for point in record.curve:
                store.add_point(number, point)
            store.finish(
                number,
                state=record.state,
                proxy_accuracy=record.proxy_accuracy,
                failure=record.failure,
                reason=record.reason,
                seconds=record.seconds,
            )
    return folder
