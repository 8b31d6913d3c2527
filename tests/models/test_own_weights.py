"""Weights of any network of the grammar are kept, checked, and brought to another resolution."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from archbench.errors import SpecError, UsageError, WeightsError
from archbench.models import ArchSpec, build, convert_weights, load_weights, save_weights
from archbench.models.catalogue import ablation_names, published
from archbench.models.part import Grid
from archbench.models.weights.layout import FileForm, layout_for, listed, table
from archbench.models.weights.translation import skeleton, their_tensors
from tests.models.foreign import assert_same, randomise
from tests.models.parts import random_spec


@pytest.mark.parametrize("seed", range(12))
def test_any_network_is_the_same_when_it_is_loaded_again(seed: int, tmp_path: Path) -> None:
    spec = random_spec(random.Random(seed))
    network = _network(spec)
    save_weights(network, tmp_path / "a.safetensors")
    again = build(spec, seed=1).eval()
    assert load_weights(again, tmp_path / "a.safetensors").verified
    images = torch.randn(2, 3, *spec.resolution)
    assert torch.equal(again(images), network(images))


@pytest.mark.parametrize("seed", range(24))
def test_any_network_comes_to_another_resolution(seed: int, tmp_path: Path) -> None:
    spec = random_spec(random.Random(seed))
    other = replace(spec, resolution=Grid(56, 40))
    try:
        network = build(other, seed=1).eval()
    except SpecError:
        pytest.skip("not legal at the other resolution")
    save_weights(_network(spec), tmp_path / "a.safetensors")
    before = {name: value.shape for name, value in network.state_dict().items()}
    old = {name: value.shape for name, value in build(spec).state_dict().items()}
    loaded = load_weights(network, tmp_path / "a.safetensors", interpolate=True)
    assert {name for name in before if before[name] != old[name]} <= set(loaded.interpolated)
    assert loaded.fresh == ()
    assert network(torch.randn(2, 3, 56, 40)).isfinite().all()
    if loaded.interpolated:
        with pytest.raises(WeightsError, match="or ask for interpolation"):
            load_weights(network, tmp_path / "a.safetensors")


def test_a_bare_state_dict_of_ours_is_read_too(tmp_path: Path) -> None:
    spec = random_spec(random.Random(3))
    network = _network(spec)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "a.pth")
    again = build(spec, seed=1)
    loaded = load_weights(again, tmp_path / "a.pth")
    assert (loaded.layout, loaded.verified) == ("archbench", False)
    assert_same(again.state_dict(), network.state_dict())


def test_released_weights_of_another_resolution_bring_their_offsets(tmp_path: Path) -> None:
    spec = replace(published("levit_128s"), resolution=Grid(256, 256))
    tensors = _network(spec).state_dict()
    form = FileForm(wrapper="model", offsets=True)
    theirs = their_tensors(tensors, name="levit_official", form=form, spec=spec)
    torch.save({"model": theirs}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"16x16, not 14x14; build it at 256, or ask"):
        load_weights(build("levit_128s"), tmp_path / "a.pth")
    loaded = load_weights(build("levit_128s"), tmp_path / "a.pth", interpolate=True)
    assert loaded.spec.resolution == (256, 256)
    assert not any("stages.2.blocks" in name for name in loaded.interpolated)  # both are 4x4


def test_weights_may_be_written_over_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(_network(published("levit_128s")), path)
    convert_weights(path, path, to="timm")
    assert convert_weights(path, path).loaded.layout == "levit_timm"
    assert load_weights(build("levit_128s"), path).verified


@pytest.mark.parametrize(
    ("name", "dialect", "words"),
    [
        ("levit_128s/a3", "official", r"stages\[0\].block.norm is layer, not batch"),
        ("vit_pytorch_cvt", "official", r"stages\[0\].block.shared_kv is True, not False"),
        ("graft_2_6", "timm", "timm has no layout for graft_2_6"),
        ("ceit_tiny", "transformers", "transformers has no layout for ceit_tiny"),
    ],
)
def test_a_layout_refuses_what_its_own_code_cannot_build(
    name: str, dialect: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        layout_for(dialect, published(name))


@pytest.mark.parametrize("name", [n for n in ablation_names() if n.startswith("levit_128s")])
def test_an_ablation_is_written_whole_or_refused(name: str) -> None:
    spec = published(name)
    tensors = skeleton(spec).tensors
    try:
        names = table(layout_for("timm", spec), spec.resolved(), tensors)
    except UsageError as error:
        assert "has no place for" in str(error) or "has no layout" in str(error)  # noqa: PT017
    else:
        assert [entry.ours for entry in names] == list(tensors)


def test_names_of_a_hostile_file_stay_on_one_line() -> None:
    shown = listed(["a\nb\x1b[2J", "x" * 10**6])
    assert shown.isprintable()
    assert len(shown) < 200


def _network(spec: ArchSpec) -> nn.Module:
    torch.manual_seed(0)
    network = build(spec, seed=0)
    randomise(network)
    return network.eval()
