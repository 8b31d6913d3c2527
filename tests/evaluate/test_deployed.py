"""What is timed is the deployed form: with published weights, part by part, and as it serves."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from archbench.errors import UsageError, WeightsError
from archbench.evaluate.deployed import saturating_batch, serving, where
from archbench.evaluate.target import deployed
from archbench.models import as_spec, build, count, fetch_weights, save_weights
from archbench.models.catalogue import published
from archbench.models.part import Grid
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC

CONDITIONS = Conditions()


def test_what_is_timed_has_the_weights_of_the_file(tmp_path: Path) -> None:
    spec = as_spec(SPEC)
    network = build(spec, seed=3).eval()
    save_weights(network, tmp_path / "a.safetensors")
    images = torch.randn(1, 3, *spec.resolution)
    timed = deployed(spec, CONDITIONS, weights=tmp_path / "a.safetensors")
    with torch.inference_mode():
        torch.testing.assert_close(timed(images), network(images))
        assert not torch.allclose(deployed(spec, CONDITIONS)(images), network(images))


def test_weights_that_do_not_fit_are_not_timed(tmp_path: Path) -> None:
    save_weights(build("levit_128s"), tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="of another network"):
        deployed(as_spec(SPEC), CONDITIONS, weights=tmp_path / "a.safetensors")


def test_only_the_published_network_has_published_weights(tmp_path: Path) -> None:
    spec = published("levit_128s")
    save_weights(build(spec), tmp_path / "levit_128s.safetensors")
    kept = fetch_weights(replace(spec, resolution=Grid(256, 256)), folder=tmp_path)
    assert (kept.path.name, kept.url) == ("levit_128s.safetensors", "")
    for other in (replace(spec, num_classes=10), replace(spec, name="mine")):
        with pytest.raises(UsageError, match="only for networks as published"):
            fetch_weights(other, folder=tmp_path)


@pytest.mark.parametrize(
    ("rates", "batch"),
    [({1: 100.0, 2: 190.0, 4: 196.0}, 2), ({1: 100.0, 2: 90.0}, 1), ({1: 100.0}, None)],
)
def test_saturating_batch_is_the_smallest_near_the_best(
    rates: dict[int, float], batch: int | None
) -> None:
    assert saturating_batch(rates) == batch


def test_each_batch_is_served() -> None:
    found = serving(SPEC, Conditions(), batches=(2, 1), budget_s=0.0)
    assert [entry["conditions"]["batch"] for entry in found["batches"]] == [1, 2]
    assert all(entry["ms"] > 0 and entry["p50"]["value"] for entry in found["batches"])


def test_every_part_is_there_with_its_arithmetic() -> None:
    found = where(SPEC, Conditions(batch=2), budget_s=0.0)
    parts = found["parts"]
    assert [part["place"] for part in parts] == ["stages[0].embed", "stages[0].blocks[0]", "head"]
    assert sum(part["macs"] for part in parts) == 2 * count(SPEC).macs
    assert all(part["ms"] > 0 and part["operators"] > 0 for part in parts)
    total = sum(part["ms"] for part in parts) + found["between_ms"]
    assert total == pytest.approx(found["whole_ms"])
    assert parts[1]["bound_by"] == "overhead"  # a tiny network is nothing else


def test_other_backends_have_no_parts() -> None:
    with pytest.raises(UsageError, match="runs a network as a whole"):
        where(SPEC, Conditions(backend="openvino"))
