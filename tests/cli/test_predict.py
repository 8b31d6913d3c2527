"""``archbench predict``: the classes of pictures, by trained weights."""

import json
import shutil
from pathlib import Path

import pytest

from archbench.data import load
from archbench.evaluate.classifier import trained
from archbench.evaluate.training import train_network
from archbench.models.weights.weight_file import read_weights
from tests.cli.conftest import Run
from tests.evaluate.toy import SPEC
from tests.golden.measured import write_images


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    """A folder with images of three colours."""
    write_images(folder / "colours")
    return folder / "colours"


@pytest.fixture(scope="module")
def weights(home: Path) -> Path:
    """The best weights of a short training on these images."""
    data = f"folder:{home / 'images'}"
    return train_network(SPEC, data=data, epochs=6, folder=home / "trained").best


def test_pictures_of_the_data_get_the_classes_that_training_saw(
    run: Run, home: Path, weights: Path
) -> None:
    ended = run("predict", str(weights), str(home / "images" / "val"), "--top", "2", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["schema"] == "archbench.predictions/1"
    first, second = found["images"][0]["classes"]
    assert first["probability"] >= second["probability"]
    names = {path.name for path in (home / "images" / "val").iterdir()}
    rights = 0
    for image in found["images"]:
        assert image["classes"][0]["class"] in names
        rights += Path(image["file"]).parent.name == image["classes"][0]["class"]
    accuracy = json.loads(read_weights(weights).metadata["accuracy"])
    assert rights / len(found["images"]) == pytest.approx(accuracy)
    assert accuracy > 0.6


def test_the_data_room_and_predict_see_the_same_network(home: Path, weights: Path) -> None:
    data = load(f"folder:{home / 'images'}", resolution=16)
    classifier = trained(weights).classifier()
    logits = classifier.logits(classifier.preparation.normalised(data.validation.images))
    accuracy = (logits.argmax(1) == data.validation.labels).float().mean().item()
    assert accuracy == pytest.approx(json.loads(read_weights(weights).metadata["accuracy"]))
    assert classifier.preparation.class_names == data.class_names


def test_a_broken_picture_does_not_end_the_others(
    run: Run, home: Path, weights: Path, tmp_path: Path
) -> None:
    good = next((home / "images").rglob("*.png"))
    shutil.copy(good, tmp_path / "good.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    ended = run("predict", str(weights), str(tmp_path))
    assert ended.code == 3
    assert "good.png" in ended.out
    told = " ".join(ended.out.split())
    assert f"{tmp_path / 'broken.png'} cannot be read: not an image" in told
    assert "1 of 2 pictures cannot be read" in ended.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("levit_128s",), "archbench estimate levit_128s"),
        (("my_study:3",), "archbench estimate my_study:3"),
        (("--space", "hybrid", "x"), "archbench estimate --space hybrid"),
        (("nothing.safetensors", "a.png"), "there is no such file of weights"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_way_on(
    run: Run, words: tuple[str, ...], told: str
) -> None:
    ended = run("predict", *words)
    assert ended.code in (2, 3)
    assert told in ended.err


def test_a_folder_without_pictures_is_refused(run: Run, weights: Path, tmp_path: Path) -> None:
    ended = run("predict", str(weights), str(tmp_path))
    assert ended.code == 3
    assert "there is no picture in the folder" in ended.err


def test_converted_weights_are_prepared_as_their_authors_do(tmp_path: Path) -> None:
    from archbench import build, save_weights

    network = build("levit_128s")
    path = tmp_path / "theirs.safetensors"
    save_weights(network, path, source={"layout": "levit_timm", "file": "x.pth"})
    found = trained(path).preparation
    assert (found.resolution, found.resize) == (224, 256)
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.class_names[0] == "tench"
    assert len(found.class_names) == 1000
