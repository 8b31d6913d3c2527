"""Objects in place of names: a network, a torch Dataset, a sampler, a pruner, a space as a dict.

Some two minutes on two cores with the defaults.
"""

from __future__ import annotations

import argparse

import numpy as np
import optuna
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

import archbench
from archbench.search.pruning import Situation
from archbench.study.trial import RungVerdict

SPACE = {
    "resolution": 32,
    "num_classes": 2,
    "stages": [
        {
            "embed": {"kind": "conv_stem", "num_convs": 2},
            "block": {"kind": "levit", "key_dim": 8},
            "dim": 16,
            "depth": 1,
            "position": "bias",
        }
    ],
    "head": {"pool": "mean", "norm": "batch"},
    "axes": {"stages[0].dim": [16, 24, 32], "stages[0].depth": {"from": 1, "to": 3}},
    "objectives": {"accuracy": "max", "macs": "min"},
    "proxy": {"resolution": 32, "stem": "as_is", "rungs": [2, 4]},
    "search": {"confirm": False},
}


class Stripes(Dataset[tuple[Image.Image, int]]):
    """Noisy stripes that lie or stand, as any Dataset of pictures and labels."""

    classes = ("lying", "standing")
    flip = True  # a mirrored picture keeps its label

    def __len__(self) -> int:
        """The number of pictures."""
        return 300

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """A picture and its label."""
        pixels = np.random.default_rng(index).integers(0, 160, (40, 40, 3), dtype=np.uint8)
        stripes = pixels[::4] if index % 2 == 0 else pixels[:, ::4]
        stripes += 90
        return Image.fromarray(pixels), index % 2


class Patience:
    """A pruner: what has learnt nothing at a rung is stopped."""

    ASKS = True

    def judge(self, situation: Situation) -> RungVerdict:
        """Stops what is no better than chance."""
        accuracy = situation.trial.curve[situation.seed, situation.epoch]
        stops = accuracy <= situation.bar
        return RungVerdict(seed=situation.seed, epoch=situation.epoch, stops=stops, reason="chance")


def main() -> None:
    """Count two networks, search, and pick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    said = parser.parse_args()

    mine = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(), nn.Linear(8 * 16 * 16, 2))
    levit = archbench.build("levit_128s", num_classes=2)
    for model in archbench.profile([mine, levit], resolution=64, latency=False).models:
        print(f"{model.network.name}: {model.counts['macs']:,} MACs")

    study = archbench.search(
        archbench.SearchSpace.load(SPACE, overrides=said.set),
        data=Stripes(),
        sampler=optuna.samplers.NSGAIISampler(population_size=4, seed=0),
        pruner=Patience(),
        trials=said.trials,
        name="own_objects",
        results=said.results,
        on_event=lambda event: (
            isinstance(event, archbench.events.TrialFinished)
            and print(f"trial {event.record.number}: {event.record.state}")
        ),
    )
    assert study is not None, "only a dry run gives no study"
    print(f"{len(study.trials())} trials on {study.header['proxy']['data']}")


if __name__ == "__main__":
    main()
