"""A study whose short trainings named the wrong design.

The one whose attention cannot know where patches lie comes first, before one that sees all at once.
"""

from pathlib import Path
from typing import Any

from archbench.analysis.study import StudyReader
from archbench.models import as_spec, count
from archbench.study.trial import TrialRecord
from tests.evaluate.toy import SPEC
from tests.study import example

BLIND, SEEING, LAST = 0, 1, 2
"""Trials: first by the proxy though its attention knows no place, second, and last."""


def spec(position: str, *, side: int = 4, dim: int = 16) -> dict[str, Any]:
    """The network of ``tests.evaluate.toy`` with this kind of position, patch and width."""
    (stage,) = SPEC["stages"]
    embed = {**stage["embed"], "kernel": side, "stride": side}
    return {**SPEC, "stages": [{**stage, "embed": embed, "position": position, "dim": dim}]}


def study(folder: Path, data: str, *, more: dict[str, Any] | None = None) -> StudyReader:
    """Three trials of 4 epochs, of 0.5 s each, on the images of ``tests.search.tiny``."""
    proxy = {
        "data": f"{data},flip=no",
        "num_classes": 3,
        "stem": "keep_grid",
        "resolution": 16,
        "chance": 1 / 3,
    }
    proxy |= {
        "num_validation": 120,
        "device": "cpu",
        "seeds": 1,
        "recipe": {"rungs": [4]},
    }
    head = {**example.header(proxy=proxy), "objectives": {"proxy_accuracy": "max", "macs": "min"}}
    folder.mkdir(parents=True)
    trials = [
        trial(BLIND, 0.90, spec("none", dim=24)),
        trial(SEEING, 0.89, spec("bias", side=16)),
        trial(LAST, 0.86, spec("absolute", dim=8)),
    ]
    return example.study(folder, trials, header={**head, "name": folder.name, **(more or {})})


def trial(number: int, accuracy: float, network: dict[str, Any]) -> TrialRecord:
    """A trial of a network that is said to have reached an accuracy."""
    counted = count(network)
    (stage,) = network["stages"]
    return example.trial(
        number,
        accuracy=accuracy,
        spec=network,
        digest=as_spec(network).digest,
        choices={"stages[0].position": stage["position"], "stages[0].dim": stage["dim"]},
        macs=counted.macs,
        params=counted.params,
    )
