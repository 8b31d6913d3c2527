"""One part of each kind of your own in one module, and a search that uses them all.

A data set, an objective, a sampler, a pruner, a backend and a report format are whatever holds the
names below. Spaces, options and Python name this module: ``module:own_parts``. The same from a
shell, in the folder of this file:

    archbench search quickstart --data module:own_parts:stripes --sampler module:own_parts
    archbench report quickstart --format module:own_parts

Some three minutes on two cores with the defaults.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import optuna
import torch
from torch import Tensor, nn

import archbench
from archbench.data.source import SHARES, DataFacts, DataRequest, ImageSource, Sink
from archbench.measure.backend import Runnable, computed_precision, placed
from archbench.search.pruning import Situation
from archbench.search.sampler import SamplerInput
from archbench.study.measurement import Conditions, Measurement
from archbench.study.objective import Objective
from archbench.study.trial import RungVerdict

HERE = f"module:{Path(__file__).stem}"


def source(request: DataRequest) -> ImageSource:
    """A data set: noisy stripes that lie or stand; behind the colon stands what they are called."""

    def make(sink: Sink) -> DataFacts:
        draw, side = np.random.default_rng(request.seed), request.resolution
        for share, number in zip(SHARES, (400, 200, 200), strict=True):
            labels = np.arange(number) % 2
            images = draw.integers(0, 160, (number, 3, side, side), dtype=np.uint8)
            images[labels == 0, :, ::4] += 90
            images[labels == 1, :, :, ::4] += 90
            sink(share, images, labels)
        names = (f"lying {request.argument}", f"standing {request.argument}")
        return DataFacts(class_names=names, description="drawn stripes", flip=True, notes=())

    return ImageSource({"recipe": 1, "name": request.argument}, make)


def _p90_ms(latency: Measurement) -> float | None:
    if latency.value is None or len(latency.samples) < 2:
        return None
    p90 = statistics.quantiles(latency.samples, n=10, method="inclusive")[-1]
    return latency.value * p90 / statistics.median(latency.samples)


OBJECTIVE = Objective(
    name=HERE,
    label="p90 latency",
    source="latency",
    timed=_p90_ms,
    description="90th percentile of the latency",
    unit="ms",
    shown_in="ms",
    digits=2,
)

ATTEMPTS, NEIGHBOURS = 8, 20  # a sampler: proposals that may be refused, and changed a little


def make(given: SamplerInput) -> optuna.samplers.BaseSampler:
    """The sampler for one proposal."""
    return optuna.samplers.QMCSampler(seed=given.seed, warn_independent_sampling=False)


ASKS = True  # a pruner that may stop a trial


def judge(situation: Situation) -> RungVerdict:
    """Stops what is no better than chance."""
    accuracy = situation.trial.curve[situation.seed, situation.epoch]
    return RungVerdict(
        seed=situation.seed,
        epoch=situation.epoch,
        stops=accuracy <= situation.bar,
        reason=f"{100 * accuracy:.0f} % is no better than chance",
    )


PRECISIONS, FORM = {"cpu": ("fp32",)}, "portable"  # of a backend


def prepare(network: nn.Module, example: Tensor, *, conditions: Conditions) -> Runnable:
    """The network traced and frozen by TorchScript."""
    ready, images = placed(network, example, conditions=conditions)
    with torch.no_grad():
        frozen = torch.jit.freeze(torch.jit.trace(ready, images))

    def run() -> object:
        with torch.inference_mode():
            return frozen(images)

    return Runnable(run=run, precision=computed_precision(conditions))


FILE = "front.jsonl"  # a report format


def content(study: archbench.StudyReader) -> bytes:
    """The front, a JSON document a line."""
    lines = [json.dumps(member) + "\n" for member in study.document()["front"]]
    return "".join(lines).encode()


def main() -> None:
    """Search with all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    said = parser.parse_args()

    parts = [
        f"objectives={{accuracy: max, '{HERE}': min}}",
        f"target.backend='{HERE}'",
        f"proxy.data='{HERE}:stripes'",
    ]
    study = archbench.search(
        archbench.SearchSpace.load("quickstart", overrides=[*parts, *said.set]),
        sampler=HERE,
        pruner=HERE,
        trials=said.trials,
        name="own_parts",
        results=said.results,
    )
    assert study is not None, "only a dry run gives no study"
    (file,) = archbench.write_report(study, formats=HERE)
    print(f"{len(study.trials())} trials; the front is in {file}")


if __name__ == "__main__":
    main()
