"""A training is told in a terminal and on a page, with its tables beside it."""

import csv
from pathlib import Path
from typing import Any

import pytest

from archbench.report.findings import training
from archbench.report.text import WIDTH
from archbench.study.trial import CurvePoint

from .browser import read
from .hostile import PAYLOADS


def document(names: tuple[str, ...] = ("cat", "dog", "fox"), *, epochs: int = 4) -> dict[str, Any]:
    """Four epochs on three classes; half of the cats are taken for dogs."""
    curve = [
        {
            "seed": 0,
            "epoch": epoch,
            "step": 10 * epoch,
            "loss": 2 / epoch,
            "accuracy": 0.5 + 0.1 * epoch,
            "seconds": 3.0 * epoch,
        }
        for epoch in range(1, epochs + 1)
    ]
    wrong, taken = names[:2]
    classes = [
        {"class": name, "images": 10, "right": 5 if name == wrong else 10, "predicted": 10,
         "accuracy": 0.5 if name == wrong else 1.0, "low": 0.2, "high": 1.0}
        for name in names
    ]  # fmt: skip
    worst = {"image": 7, "file": None, "class": wrong, "predicted": taken}
    return {
        "schema": "archbench.training/1",
        "network": "toy",
        "digest": "0" * 16,
        "data": "folder:pets",
        "accuracy": curve[-1]["accuracy"],
        "best_accuracy": curve[-1]["accuracy"],
        "best_epoch": epochs,
        "curve": curve,
        "files": {},
        "spec": {},
        "training": {
            "data": {
                "data": "folder:pets",
                "data_description": f"images of {wrong}",
                "data_notes": ["test is test/"],
                "num_classes": 3,
                "num_train": 80,
                "chance": 0.3,
            },
            "recipe": {"rungs": [1, 2, 3, 4], "batch": 8, "augmentation": {"flip": 0.5}},
            "created": "2026-01-01T00:00:00+00:00",
            "environment": {"cpu": "a processor"},
        },
        "test": {
            "epoch": epochs,
            "images": 30,
            "right": 25,
            "accuracy": 25 / 30,
            "low": 0.66,
            "high": 0.93,
            "class_mean": 25 / 30,
            "loss": 0.4,
            "classes": classes,
            "confused": [{"class": wrong, "predicted": taken, "images": 5, "share": 0.5}],
            "worst": [{**worst, "probability": 0.013, "loss": 4.3}],
        },
    }


def written(found: dict[str, Any], folder: Path) -> dict[str, Path]:
    """The files of a training by their names."""
    rows = [{"image": 7, "file": "=cmd", "class": found["test"]["classes"][0]["class"]}]
    paths = training.write(
        found,
        folder,
        images=rows,
        thumbnails={7: b"\xff\xd8picture"},
        commands={"Measure its latency": "archbench profile toy.yaml"},
    )
    return {path.name: path for path in paths}


def test_a_terminal_shows_the_test_the_weakest_classes_and_what_is_confused() -> None:
    text = training.trained(document(), next_step="").text()
    assert (
        text
        == """\
test accuracy 83.3 % (66.0–93.0): 25 of 30 held-out images, with the best
weights, those of epoch 4

accuracy by class

class  images  right              accuracy  most often taken for
-----  ------  -----  --------------------  --------------------
cat        10      5   50.0 % (20.0–100.0)  dog 5
dog        10     10  100.0 % (20.0–100.0)
fox        10     10  100.0 % (20.0–100.0)

most often confused

class  taken for  images  of the class
-----  ---------  ------  ------------
cat    dog             5        50.0 %

validation accuracy of toy on folder:pets: 90.0 % after epoch 4
The 30 test images were used once, at the end: neither the training nor the
choice of the weights saw them. In parentheses: Wilson's 95 % interval."""
    )


def test_many_long_names_still_fit_the_terminal() -> None:
    names = tuple(f"a class with quite a long name, number {number}" for number in range(30))
    text = training.trained(document(names), next_step="").text()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "and 22 more: classes.csv" in text


def test_the_page_is_whole_and_names_of_classes_stay_text(tmp_path: Path) -> None:
    names = (PAYLOADS[0], PAYLOADS[1], "fox")
    files = written(document(names), tmp_path)
    page = read(files["training.html"].read_text())
    assert "Test accuracy 83.3 % (66.0–93.0): 25 of 30 held-out images" in page.text
    assert "The 30 test images were used once" in page.text
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    (picture,) = [values for tag, values in page.elements if tag == "img"]
    assert picture["src"] == "data:image/jpeg;base64,/9hwaWN0dXJl"
    assert {"curve", "classes", "confused", "worst", "conditions", "next"} <= set(
        page.attributes("id")
    )


def test_tables_hold_every_number_and_no_formula(tmp_path: Path) -> None:
    files = written(document(("=cat", "dog", "fox")), tmp_path)
    tables = {
        name: list(csv.reader(path.read_text().splitlines()))
        for name, path in files.items()
        if path.suffix == ".csv"
    }
    assert tables["curve.csv"][:2] == [
        ["seed", "epoch", "step", "loss", "accuracy", "seconds"],
        ["0", "1", "10", "2.0", "0.6", "3.0"],
    ]
    assert tables["confusion.csv"] == [
        ["class", "taken for =cat", "taken for dog", "taken for fox"],
        ["'=cat", "5", "5", "0"],
        ["dog", "0", "10", "0"],
        ["fox", "0", "0", "10"],
    ]
    assert tables["predictions.csv"][1] == ["7", "'=cmd", "'=cat"]
    assert {"curve.png", "curve.svg", "result.json", "classes.csv"} <= files.keys()


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_training_without_a_test_or_of_one_epoch_has_a_page(epochs: int, tmp_path: Path) -> None:
    found = {**document(epochs=epochs), "test": None}
    paths = training.write(found, tmp_path, images=(), thumbnails={}, commands={})
    assert ("curve.svg" in [path.name for path in paths]) == (epochs > 1)
    assert "nothing was tested" in (tmp_path / "training.html").read_text()


def test_every_field_of_a_recipe_is_shown_as_it_can_be_set() -> None:
    recipe = {
        "epochs": 300,
        "rate": 0.0005,
        "no_decay": ["1d", "bias"],
        "drop_path": None,
        "compile": False,
        "augmentation": {"crop_ratio": [0.75, 1.3333333333333333], "rand_augment": ""},
    }
    assert training.recipe_text("mine.yaml", recipe).split("\n") == [
        'recipe mine.yaml  epochs 300, rate 0.0005, no_decay ["1d", bias], drop_path',
        "                  null, compile false",
        'augmentation      crop_ratio [0.75, 1.333], rand_augment ""',
    ]


def test_an_epoch_by_a_full_recipe_tells_rate_speed_and_time_left() -> None:
    points = [
        CurvePoint(seed=0, epoch=epoch, step=10 * epoch, loss=1, accuracy=0.5, seconds=60 * epoch)
        for epoch in (1, 2)
    ]
    told = training.pace_text(points[1], before=points[0], epochs=4, batch=300, rate=1e-3)
    assert told == ", rate 0.001, 50 images/s, about 2 min 0 s left"
    last = training.pace_text(points[1], before=None, epochs=2, batch=300, rate=1e-3)
    assert last == ", rate 0.001, 50 images/s"
