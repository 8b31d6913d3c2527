"""What int8 costs shows in an accuracy of its own, on images that did not calibrate it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from archbench.data import Split
from archbench.errors import UsageError
from archbench.evaluate import quantised
from archbench.evaluate.profile import profile
from archbench.evaluate.proxy import Proxy
from archbench.evaluate.quantised import CALIBRATED, calibration_images, quantised_accuracy
from archbench.evaluate.target import Target
from archbench.measure.agreement import prepared
from archbench.measure.backend import absence, write_artifact
from archbench.models import as_spec, build
from archbench.models.weights.header import header
from archbench.models.weights.weight_file import write_safetensors
from archbench.study.environment import capture
from archbench.study.measurement import Conditions
from archbench.train.loop import accuracy
from archbench.train.recipe import Plan, Recipe
from tests.evaluate.toy import SPEC

BACKENDS = ("onnxruntime", "openvino")


def int8(backend: str, *, side: int = 8) -> Conditions:
    if missing := absence(backend, device="cpu"):
        pytest.skip(missing.message)
    if backend == "openvino":
        pytest.importorskip("nncf")
    return Conditions(backend=backend, precision="int8", resolution=(side, side))


def split(number: int, *, seed: int) -> Split:
    """Squares of 8 px, as many dark as bright."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 2
    noise = torch.randint(0, 20, (number, 3, 8, 8), generator=generator)
    return Split((100 + 100 * labels.view(-1, 1, 1, 1) + noise).to(torch.uint8), labels)


def network(*, outlier: float) -> nn.Module:
    """Tells bright squares from dark ones by one channel, beside which lies one so much larger."""
    first, second = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)
    with torch.no_grad():
        first.weight[0], first.weight[1] = 1 / 3, outlier / 3
        first.bias.zero_()
        second.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]).view(2, 2, 1, 1))
        second.bias.copy_(torch.tensor([0.1, 0.0]))
    pooled = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    return nn.Sequential(first, nn.ReLU(), second, pooled).eval()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_network_that_int8_ruins_is_seen_to_be_ruined(backend: str) -> None:
    conditions, images = int8(backend), split(40, seed=1)
    calibration = calibration_images(split(80, seed=0))
    reached = {}
    for outlier in (1.0, 3000.0):
        made = network(outlier=outlier)
        assert accuracy(made, images) == 1.0
        reached[outlier] = quantised_accuracy(
            made, images, calibration=calibration, conditions=conditions
        )
    assert reached == {1.0: 1.0, 3000.0: 0.5}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_ranges_are_those_of_the_calibration_images(backend: str) -> None:
    """Calibrated on images that are all dark, bright ones are cut off."""
    conditions, images = int8(backend), split(40, seed=1)
    dark = split(80, seed=0)
    calibration = dark.images[dark.labels == 0]
    made = network(outlier=1.0)
    found = quantised_accuracy(made, images, calibration=calibration, conditions=conditions)
    assert found < 1.0


def test_calibration_images_are_drawn_of_the_training_alone_and_always_the_same() -> None:
    train = split(2 * CALIBRATED, seed=0)
    numbered = replace(train, images=torch.arange(2 * CALIBRATED).view(-1, 1, 1, 1))
    drawn = calibration_images(numbered).flatten()
    assert len(drawn) == len(set(drawn.tolist())) == CALIBRATED
    assert torch.equal(drawn, calibration_images(numbered).flatten())
    assert len(calibration_images(split(10, seed=0))) == 10


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_proxy_tells_what_kept_weights_reach_in_int8(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditions = int8(backend)
    proxy = Proxy(
        data="unused",
        resolution=16,
        num_classes=3,
        stem="as_is",
        num_seeds=1,
        recipe=Recipe(),
        plan=Plan(),
        device="cpu",
    )
    spec = as_spec({**SPEC, "resolution": 16, "num_classes": 3})
    weights = tmp_path / "weights.safetensors"
    trained = build(proxy.spec(spec), seed=1)
    texts = header(proxy.spec(spec))
    write_safetensors(weights, trained.state_dict(), metadata=texts, is_alone=True)
    generator = torch.Generator().manual_seed(0)

    class Data:
        resolution = 16
        train, validation, test = (
            Split(
                torch.randint(0, 256, (24, 3, 16, 16), generator=generator, dtype=torch.uint8),
                torch.randint(0, 3, (24,), generator=generator),
            )
            for _ in range(3)
        )

    monkeypatch.setattr(Proxy, "dataset", lambda self, target: Data)
    found = proxy.quantised(spec, seed=4, weights=weights, conditions=conditions)
    assert found.seed == 4
    assert found.seconds > 0
    assert abs(found.accuracy - accuracy(trained, Data.validation)) <= 0.25
    tested = proxy.test(spec, weights=weights, quantised=conditions)
    assert abs(tested - accuracy(trained, Data.test)) <= 0.25


def test_int8_is_never_calibrated_on_noise(tmp_path: Path) -> None:
    told = "int8 is calibrated on images"
    target = Target(
        conditions=Conditions(backend="onnxruntime", precision="int8"),
        environment=capture(),
        constants={},
    )
    with pytest.raises(UsageError, match=told):
        target.calibration_batches()
    conditions = int8("onnxruntime")
    example = torch.zeros(1, 3, 8, 8)
    made = network(outlier=1.0)
    with pytest.raises(UsageError, match=told):
        prepared(made, example, conditions=conditions)
    with pytest.raises(UsageError, match=told):
        write_artifact(made, example, path=tmp_path / "a.onnx", conditions=conditions)
    with pytest.raises(UsageError, match=told) as caught:
        profile("levit_128s", backend="onnxruntime", precision="int8", devices="cpu")
    assert caught.value.help == "add --data NAME"


def test_images_for_a_latency_have_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    class Data:
        train = split(5, seed=0)

    monkeypatch.setattr("archbench.evaluate.target.open_data", lambda name, resolution: Data)
    conditions = Conditions(backend="openvino", precision="int8", batch=3, resolution=(12, 20))
    target = Target(conditions=conditions, environment=capture(), constants={}, images=("dark", 8))
    assert [tuple(batch.shape) for batch in target.calibration_batches()] == [(3, 3, 12, 20)] * 2
    assert target.at("fp32").calibration_batches() == []


def test_how_networks_are_quantised_is_told_with_the_version() -> None:
    found = quantised.quantisation_of("onnxruntime", num_train=100)
    assert (found["backend"], found["images"], found["seed"]) == ("onnxruntime", 100, 0)
    assert found["method"].startswith("onnxruntime ")
