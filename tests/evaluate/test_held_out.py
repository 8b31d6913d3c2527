"""What a network makes of the test images is counted once, and the worst are shown."""

import math

import pytest
import torch
from torch import Tensor, nn

from archbench.data.image_preparation import Preparation
from archbench.evaluate.held_out import WORST_SHOWN, HeldOut, held_out, held_out_result
from archbench.train.loop import accuracy
from tests.train.tiny import tiny_dataset, tiny_network


class Brightness(nn.Module):
    """Logits (B, 2) of images: no to all, and yes by their mean."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(mean), mean], dim=1)


def some(levels: list[float], labels: list[int]) -> HeldOut:
    """Images of even brightness, in batches of two."""
    images = torch.tensor(levels)[:, None, None, None].expand(-1, 3, 8, 8)
    numbers = torch.arange(len(labels))
    whole = images, torch.tensor(labels), numbers
    return HeldOut(
        batches=lambda: zip(*(part.split(2) for part in whole), strict=True),
        num_images=len(labels),
        preparation=Preparation(resolution=8, resize=8, class_names=("dark", "bright", "none")),
        path=lambda number: f"{number}.png",
    )


def test_every_image_is_predicted_once_and_counted() -> None:
    told: list[tuple[str, int, int]] = []
    images = some([-1.0, 2.0, -2.0, 1.0, 3.0], [0, 1, 1, 0, 1])
    network = Brightness().train()
    result = held_out_result(network, images, on_progress=lambda *step: told.append(step))
    assert network.training
    assert told == [("testing, images", done, 5) for done in (2, 4, 5)]
    found = result.document()
    assert (found["images"], found["right"], found["accuracy"]) == (5, 3, 0.6)
    assert found["class_mean"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert [one["accuracy"] for one in found["classes"]] == [1 / 2, 2 / 3, None]
    assert {(p["class"], p["predicted"], p["images"]) for p in found["confused"]} == {
        ("dark", "bright", 1),
        ("bright", "dark", 1),
    }


def test_the_worst_come_first_with_what_their_class_was_given() -> None:
    result = held_out_result(Brightness(), some([-1.0, 2.0, -2.0, 1.0], [0, 1, 1, 0]))
    worst = result.document()["worst"]
    assert [one["image"] for one in worst] == [2, 3, 0, 1] == list(result.thumbnails)
    assert (worst[0]["class"], worst[0]["predicted"], worst[0]["file"]) == (
        "bright",
        "dark",
        "2.png",
    )
    assert worst[0]["probability"] == pytest.approx(1 / (1 + math.exp(2)))
    assert worst[0]["loss"] == pytest.approx(math.log(1 + math.exp(2)))


def test_so_many_of_the_worst_are_shown_and_of_equals_the_first() -> None:
    count = WORST_SHOWN + 10
    result = held_out_result(Brightness(), some([1.0] * count, [1] * 9 + [0] + [1] * (count - 10)))
    assert list(result.thumbnails) == [9, *range(9), *range(10, WORST_SHOWN)]


def test_it_agrees_with_the_accuracy_of_the_loop() -> None:
    network, dataset = tiny_network(), tiny_dataset()
    found = held_out_result(network, held_out(dataset)).document()
    assert found["accuracy"] == accuracy(network, dataset.test)
    assert found["images"] == len(dataset.test)
