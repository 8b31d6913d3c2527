"""A network is timed with its published weights, or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from archbench.errors import UsageError, WeightsError
from archbench.evaluate.foreign import fetch_weights
from archbench.evaluate.target import deployed
from archbench.models import as_spec, build, save_weights
from archbench.models.catalogue import published
from archbench.models.part import Grid
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC

CONDITIONS = Conditions(device="cpu", backend="eager", precision="fp32", batch=1, threads=1)


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
