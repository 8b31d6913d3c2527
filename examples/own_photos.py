"""A search on pictures of your own, and a longer training of the design that is picked.

Pictures of each class lie in a folder of its own. This program draws a small set of such folders,
so that it runs without photos; name yours with ``--folder``. The same from a shell:

    archbench search quickstart --data folder:photos --name my_photos
    archbench pick my_photos --latency 1
    archbench train my_photos:TRIAL --data folder:photos --epochs 100

Some five minutes on two cores with the defaults.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

import archbench

CLASSES = {"apple": "firebrick", "lemon": "gold", "plum": "indigo"}
PICTURES = 40
SIDE = 48


def main() -> None:
    """Search and train on a folder of class folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="your class folders; drawn if left out")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=30, help="of the last training")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    said = parser.parse_args()

    folder = said.folder or draw_photos(said.results / "photos")
    space = archbench.SearchSpace.load("quickstart", overrides=said.set)
    study = archbench.search(
        space,
        data=f"folder:{folder}",
        trials=said.trials,
        name="my_photos",
        results=said.results,
    )
    assert study is not None, "only a dry run gives no study"
    print(study.front()[["trial", "proxy_accuracy", "params"]].to_string(index=False))
    if not (designs := study.front_records()):
        sys.exit("no design beats guessing: more pictures, or longer trainings, are needed")

    best = max(designs, key=lambda design: design.proxy_accuracy or 0.0)
    weights = archbench.train_network(
        best.spec,
        data=f"folder:{folder}",
        epochs=said.epochs,
        folder=said.results / f"trained-{best.number}",
    )
    accuracy = max(point.accuracy for point in weights.points)
    print(f"trial {best.number} after {said.epochs} epochs: {100 * accuracy:.1f} %, {weights.best}")


def draw_photos(root: Path) -> Path:
    """Draws a folder of pictures for each class, the same ones every time."""
    chance = random.Random(0)
    for name, colour in CLASSES.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(PICTURES):
            draw_photo(colour, chance).save(root / name / f"{number}.png")
    return root


def draw_photo(colour: str, chance: random.Random) -> Image.Image:
    """A fruit of a random size and place on a random grey."""
    grey = chance.randrange(40, 90)
    picture = Image.new("RGB", (SIDE, SIDE), (grey, grey, grey))
    radius = chance.randrange(10, 20)
    x, y = (chance.randrange(radius, SIDE - radius) for _ in range(2))
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(picture).ellipse(box, fill=colour)
    return picture


if __name__ == "__main__":
    main()
