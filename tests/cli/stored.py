"""A study on disk, as a search of some seconds would leave it."""

import random
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
            store.add_trial(plausible.trial(number, rng, limit=limit))
    return folder
