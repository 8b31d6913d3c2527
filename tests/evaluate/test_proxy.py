"""The accuracy of a candidate survives kills and damaged files, and damage is said."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from archbench.data import Split
from archbench.errors import StorageError
from archbench.evaluate.proxy import Proxy, describe
from archbench.models.network import as_spec
from archbench.study.trial import CurvePoint
from archbench.train.recipe import Plan, Recipe
from tests.evaluate.toy import SPEC


class Killed(Exception):
    pass


@dataclass
class Heard:
    points: list[CurvePoint] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@pytest.fixture
def proxy(data: str) -> Proxy:
    return Proxy(
        data=data,
        resolution=16,
        num_classes=3,
        stem="keep_grid",
        num_seeds=1,
        recipe=Recipe(rungs=(1, 2, 3), batch=16, seed=5),
        plan=Plan(),
        device="cpu",
    )


def _train(
    proxy: Proxy, folder: Path, *, sha256: str | None = None, killed_after: int = 99, seed: int = 0
) -> tuple[float | None, Heard]:
    heard = Heard()
    folder.mkdir(exist_ok=True)

    def on_point(point: CurvePoint, path: Path, digest: str) -> None:
        heard.points.append(point)
        heard.digests.append(digest)
        if len(heard.points) == killed_after:
            raise Killed

    try:
        accuracy = proxy.train(
            as_spec(SPEC),
            seed=seed,
            checkpoint=folder / "checkpoint.safetensors",
            sha256=sha256,
            weights=folder / "weights.safetensors",
            on_point=on_point,
            on_note=heard.notes.append,
        )
    except Killed:
        return None, heard
    return accuracy, heard


def _losses(heard: Heard) -> list[float]:
    return [point.loss for point in heard.points]


def test_going_on_gives_the_same_curve_bit_for_bit(proxy: Proxy, tmp_path: Path) -> None:
    accuracy, uninterrupted = _train(proxy, tmp_path / "whole")
    _, before = _train(proxy, tmp_path / "parts", killed_after=2)
    again, after = _train(proxy, tmp_path / "parts", sha256=before.digests[-1])
    assert again == accuracy
    assert _losses(before) + _losses(after)[1:] == _losses(uninterrupted)
    assert after.notes == []


def test_trainings_of_other_seeds_differ(proxy: Proxy, tmp_path: Path) -> None:
    _, first = _train(proxy, tmp_path / "one")
    _, second = _train(proxy, tmp_path / "other", seed=1)
    assert _losses(first) != _losses(second)
    assert {point.seed for point in second.points} == {1}


def test_a_damaged_checkpoint_gives_way_to_the_one_before(proxy: Proxy, tmp_path: Path) -> None:
    _, before = _train(proxy, tmp_path, killed_after=2)
    _damage(tmp_path / "checkpoint.safetensors")
    _, after = _train(proxy, tmp_path, sha256=before.digests[-1])
    assert [point.epoch for point in after.points] == [1, 2, 3]
    assert "sha256" in after.notes[0]
    assert "going on from" in after.notes[0]


def test_without_a_sound_checkpoint_it_begins_anew_and_says_so(
    proxy: Proxy, tmp_path: Path
) -> None:
    _, before = _train(proxy, tmp_path, killed_after=2)
    for file in tmp_path.iterdir():
        _damage(file)
    accuracy, after = _train(proxy, tmp_path, sha256=before.digests[-1])
    assert [point.epoch for point in after.points] == [1, 2, 3]
    assert "trained from the start" in after.notes[0]
    assert accuracy is not None


def test_a_checkpoint_that_is_gone_is_said(proxy: Proxy, tmp_path: Path) -> None:
    _, heard = _train(proxy, tmp_path, sha256="0" * 64)
    assert "not there" in heard.notes[0]
    assert len(heard.points) == 3


def test_weights_give_an_accuracy_again_of_their_network_alone(
    proxy: Proxy, tmp_path: Path
) -> None:
    _train(proxy, tmp_path)
    accuracy = proxy.test(as_spec(SPEC), weights=tmp_path / "weights.safetensors")
    assert 0 <= accuracy <= 1
    assert accuracy == proxy.test(as_spec(SPEC), weights=tmp_path / "weights.safetensors")
    other = as_spec({**SPEC, "stages": [{**SPEC["stages"][0], "dim": 24}]})
    with pytest.raises(StorageError, match="of another network"):
        proxy.test(other, weights=tmp_path / "weights.safetensors")


def test_damaged_weights_are_not_tested_but_named(proxy: Proxy, tmp_path: Path) -> None:
    _train(proxy, tmp_path)
    file = tmp_path / "weights.safetensors"
    sound = file.read_bytes()
    begin = 8 + int.from_bytes(sound[:8], "little")
    for at in range(begin, len(sound), len(sound) // 7):
        damaged = bytearray(sound)
        damaged[at] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(StorageError, match="damaged: the weights are not those of") as raised:
            proxy.test(as_spec(SPEC), weights=file)
        assert raised.value.place == str(file)


def test_the_description_of_data_says_what_chance_gives(proxy: Proxy) -> None:
    facts = describe(proxy.dataset(as_spec(SPEC)))
    assert facts["chance"] == pytest.approx(1 / 3)
    assert facts["num_validation"] == 120
    assert facts["data"] == proxy.data


def test_what_mirrors_and_unequal_classes_do_is_told(proxy: Proxy) -> None:
    dataset = proxy.dataset(as_spec(SPEC))
    labels = (torch.arange(len(dataset.validation)) == 0).long()
    unequal = replace(dataset, flip=True, validation=replace(dataset.validation, labels=labels))
    facts = describe(unequal)
    assert facts["data_notes"][-2].startswith("classes of unequal size: always naming ")
    assert "is right on 99.2 % of the validation images" in facts["data_notes"][-2]
    assert "mirrors images at random" in facts["data_notes"][-1]
    as_is = describe(replace(unequal, flip=False))
    assert not any("mirror" in note for note in as_is["data_notes"])


def test_classes_that_differ_by_more_than_five_times_are_balanced(proxy: Proxy) -> None:
    dataset = proxy.dataset(as_spec(SPEC))
    assert "balanced" not in describe(dataset, balance=None), "as many of each"
    labels = torch.tensor([0] * 3 + [1] * 16 + [2] * 16)
    train = Split(dataset.train.images[: len(labels)], labels)
    facts = describe(replace(dataset, train=train), balance=None)
    assert facts["balanced"] is True
    assert any("has 5.33 times the training images of the rarest" in n for n in facts["data_notes"])
    assert "balanced" not in describe(replace(dataset, train=train), balance=False)


def test_a_name_can_switch_mirrors_off(proxy: Proxy) -> None:
    asked = replace(proxy, data=f"{proxy.data},flip=no")
    one, other = (each.dataset(as_spec(SPEC)) for each in (proxy, asked))
    assert (one.flip, other.flip) == (True, False)
    assert one.digest != other.digest
    assert one.train.images.equal(other.train.images)
    assert describe(other)["data_notes"][-1] == "training mirrors no image, as flip=no says"


def _damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
