"""Weights of any network of the grammar are kept, checked, and brought to another resolution."""

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
from archbench.models.weights.skeleton import resized, skeleton
from archbench.models.weights.translation import their_tensors
from tests.models.foreign import assert_same, randomise
from tests.models.parts import random_spec

MAPS = [Grid(7, 7), Grid(14, 14), Grid(20, 9), Grid(1, 5)]


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


@pytest.mark.parametrize(
    "name",
    [
        "edgenext_xx_small", "efficientvit_b0", "mobilenetv3_small_050",
        "mobilenetv4_conv_small_050", "mobileone_s0", "repvit_m0_9", "shvit_s1",
    ],
)  # fmt: skip
def test_each_family_is_given_its_own_layout(name: str) -> None:
    assert layout_for("timm", published(name)) == f"{name.split('_')[0]}_timm"


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


@pytest.mark.parametrize("new", MAPS, ids=str)
@pytest.mark.parametrize("old", MAPS, ids=str)
def test_shape_class_tokens_and_constants_stay(old: Grid, new: Grid) -> None:
    rows = torch.randn(1, 2 + old.tokens, 6)
    found = resized(rows, old=old, new=new)
    assert found.shape == (1, 2 + new.tokens, 6)
    assert torch.equal(found[:, :2], rows[:, :2])
    constant = resized(torch.full((1, old.tokens, 2), 3.0), old=old, new=new)
    torch.testing.assert_close(constant, torch.full((1, new.tokens, 2), 3.0))
    bias = resized(torch.full((3, old.tokens), -2.0), old=old, new=new)
    torch.testing.assert_close(bias, torch.full((3, new.tokens), -2.0))
    if old == new:
        assert torch.equal(found, rows)


@pytest.mark.parametrize("new", [Grid(7, 7), Grid(28, 24)], ids=str)
def test_a_ramp_of_positions_stays_about_one(new: Grid) -> None:
    centres = (torch.arange(14) + 0.5) / 14  # of the places, as shares of the height
    found = resized(centres.repeat_interleave(12)[None, :, None], old=Grid(14, 12), new=new)
    expected = (torch.arange(new.height) + 0.5) / new.height
    map_ = found[0, :, 0].unflatten(0, tuple(new))
    inner = slice(new.height // 6, -(new.height // 6))  # beyond the border nothing is known
    assert (map_[inner] - expected[inner, None]).abs().max() < 5e-3
    assert (map_ - expected[:, None]).abs().max() < 0.03


def test_a_ramp_of_distances_stays_one_from_none_to_the_farthest() -> None:
    values = torch.linspace(0, 1, 14)[:, None] + 10 * torch.linspace(0, 1, 14)[None, :]
    expected = torch.linspace(0, 1, 9)[:, None] + 10 * torch.linspace(0, 1, 24)[None, :]
    found = resized(values.reshape(1, -1), old=Grid(14, 14), new=Grid(9, 24))
    torch.testing.assert_close(found, expected.reshape(1, -1), rtol=0, atol=1e-5)


def test_half_precision_comes_back_as_it_was() -> None:
    values = torch.randn(2, 49).to(torch.bfloat16)
    assert resized(values, old=Grid(7, 7), new=Grid(14, 14)).dtype == torch.bfloat16


def _network(spec: ArchSpec) -> nn.Module:
    torch.manual_seed(0)
    network = build(spec, seed=0)
    randomise(network)
    return network.eval()
