"""A network takes over what it can of another one's weights, and computes nearly what that did."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from archbench.models import ArchSpec, Network, build, convert_weights, load_weights, save_weights
from archbench.models.catalogue import published, published_names
from archbench.models.path import override, parse_path
from archbench.models.rewrite import scaled
from archbench.models.weights.inherit import (
    Chosen,
    Inherited,
    greatest_norm,
    indices_of,
    inherit,
    kernel,
    patch_kernel,
    taken,
)
from archbench.models.weights.load import read_network
from archbench.models.weights.pairing import kept_layers, pairs
from tests.models.foreign import randomise
from tests.models.parts import random_spec

PRECISE = 1e-4


def made(spec: ArchSpec, *, seed: int = 0) -> Network:
    """A network whose every weight and statistic matters."""
    torch.manual_seed(seed)
    network = build(spec, seed=seed)
    randomise(network)
    return network.eval()


def changed(spec: ArchSpec, **changes: Any) -> ArchSpec:
    """A spec with other values at paths, in which two underscores stand for a dot."""
    document: Mapping[str, Any] = spec.to_document()
    for path, value in changes.items():
        document = override(document, parse_path(path), value)
    return ArchSpec.from_document(document)


def heir(spec: ArchSpec, ancestor: Network) -> tuple[Network, Inherited]:
    network = build(spec, seed=1).eval()
    state = ancestor.state_dict()
    return network, inherit(network, ancestor=state, ancestor_spec=ancestor.spec)


def answers(network: Network, *, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    with torch.inference_mode():
        found: Tensor = network(torch.randn(2, 3, *network.spec.resolution))
    return found


def check_identity(spec: ArchSpec) -> None:
    ancestor = made(spec)
    network, found = heir(spec, ancestor)
    assert found.share == 1
    expected = ancestor.state_dict()
    assert all(value.equal(expected[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", published_names())
def test_the_same_network_is_its_ancestor_to_the_bit(name: str) -> None:
    check_identity(scaled(published(name), 0.25))


@pytest.mark.slow
@pytest.mark.parametrize("name", published_names())
def test_a_network_of_full_width_is_its_ancestor_to_the_bit(name: str) -> None:
    check_identity(published(name))


@pytest.mark.parametrize("seed", range(40))
def test_channels_in_another_order_compute_the_same(seed: int) -> None:
    """So what parts say of their channels is true, of each part in any place."""
    check_order(random_spec(random.Random(seed)))


@pytest.mark.parametrize("name", ["efficientvit_b0", "shvit_s1"])
def test_so_they_do_where_some_attend_or_all_heads_share(name: str) -> None:
    check_order(scaled(published(name), 0.25))


@pytest.mark.parametrize(
    "embed",
    [
        {"kind": "none"},
        *({"kind": "bottleneck", "stride": stride} for stride in (1, 2)),
        *({"kind": "inverted_bottleneck", "stride": stride} for stride in (1, 2)),
    ],
    ids=str,
)
def test_so_they_do_where_a_stream_goes_through_an_embed(embed: Mapping[str, Any]) -> None:
    document = small().to_document()
    first = {**document["stages"][0], "class_tokens": 0, "depth": 1}
    stages = [first, {**first, "embed": embed, "position": "none"}]
    head = {"pool": "mean", "norm": "layer"}
    check_order(ArchSpec.from_document({**document, "stages": stages, "head": head}))


def check_order(spec: ArchSpec) -> None:
    ancestor, other = made(spec), build(spec, seed=1).eval()
    state, matched = ancestor.state_dict(), list(pairs(spec, spec))
    given = {name: torch.arange(size) for name, size in sizes_given(spec).items()}
    chosen = {key: Chosen(order[None], len(order)) for key, order in given.items()}
    for key, (places, of) in greatest_norm(matched, state, known=chosen).items():
        order = torch.stack([torch.randperm(of) for _ in range(len(places))])
        chosen[key] = Chosen(order if key != "image" else places, of)
    for pair in matched:
        found = indices_of(pair, state[pair.name], chosen)
        value, number = taken(state[pair.name], state[pair.name], found, is_layer=False)
        assert number == value.numel()
        other.state_dict()[pair.name].copy_(value)
    assert len(matched) == len(state)
    expected = answers(ancestor)
    torch.testing.assert_close(answers(other), expected, rtol=PRECISE, atol=PRECISE)


def sizes_given(spec: ArchSpec) -> dict[str, int]:
    """The channels that are rows of tables or classes."""
    found = {
        "head.classes": spec.num_classes,
        "head.layers": len(spec.resolved().stages[-1].blocks),
    }
    for i, stage in enumerate(spec.resolved().stages):
        found |= {f"stages.{i}.tokens": stage.class_tokens, f"stages.{i}.rows": stage.tokens}
    return found


def small(**changes: Any) -> ArchSpec:
    """DeiT with few narrow layers, of small images."""
    stage = {"dim": 24, "depth": 5, "embed.kernel": 8, "embed.stride": 8}
    stage |= {"block.num_heads": 3, "block.head_dim": 8}
    paths = {f"stages[0].{name}": value for name, value in stage.items()}
    return changed(
        published("deit_tiny"), **{"resolution": 32, "num_classes": 5, **paths, **changes}
    )


def levit(**changes: Any) -> ArchSpec:
    """A narrow LeViT of small images."""
    spec = scaled(published("levit_128s"), 0.25)
    return changed(
        spec, **{"resolution": 64, "num_classes": 5, "stages[0].embed.stride": 8} | changes
    )


def test_few_layers_are_those_evenly_spaced() -> None:
    ancestor = made(small())
    network, _ = heir(small(**{"stages[0].depth": 3}), ancestor)
    (here,), (there,) = network.stages, ancestor.stages
    for layer, origin in enumerate((0, 2, 4)):
        expected = there.blocks[origin].state_dict()
        for name, value in here.blocks[layer].state_dict().items():
            assert value.equal(expected[name]), name


@pytest.mark.parametrize(
    ("number", "of", "expected"),
    [
        (1, 4, (0,)),
        (2, 4, (0, 3)),
        (3, 4, (0, 2, 3)),
        (4, 4, (0, 1, 2, 3)),
        (5, 2, (0, None, None, None, 1)),
        (2, 1, (0, None)),
        (2, 0, (None, None)),
        (0, 3, ()),
    ],
)
def test_layers_are_kept_from_the_first_to_the_last(
    number: int, of: int, expected: tuple[int | None, ...]
) -> None:
    assert kept_layers(number, of) == expected


def test_few_hidden_units_are_those_of_the_greatest_norm() -> None:
    ancestor = made(small())
    mlp = ancestor.stages[0].blocks[1].mlp
    with torch.no_grad():
        mlp[0].weight[::2] *= 10
        mlp[2].weight[:, ::2] *= 10
    network, found = heir(small(**{"stages[0].block.mlp_ratio": 2}), ancestor)
    ours = network.stages[0].blocks[1].mlp
    assert ours[0].weight.equal(mlp[0].weight[::2])
    assert ours[0].bias.equal(mlp[0].bias[::2])
    assert ours[2].weight.equal(mlp[2].weight[:, ::2])
    assert ours[2].bias.equal(mlp[2].bias)
    assert found.share == 1


def test_what_writes_a_channel_counts_as_much_as_what_reads_it() -> None:
    ancestor = made(small())
    mlp = ancestor.stages[0].blocks[1].mlp
    with torch.no_grad():
        mlp[0].weight.fill_(1.0)[::2] = 2.0  # even ones have 0.8 of what writes
        mlp[2].weight.fill_(1.0)[:, 1::2] = 2.5  # odd ones have 0.86 of what reads
    network, _ = heir(small(**{"stages[0].block.mlp_ratio": 2}), ancestor)
    assert network.stages[0].blocks[1].mlp[2].weight.equal(mlp[2].weight[:, 1::2])


def test_few_heads_take_queries_keys_values_and_projection_along() -> None:
    ancestor = made(small())
    attention = ancestor.stages[0].blocks[2].attention
    with torch.no_grad():
        attention.projection.weight[:, 8:] *= 10  # of the second and the third head
    network, _ = heir(small(**{"stages[0].block.num_heads": 2}), ancestor)
    ours = network.stages[0].blocks[2].attention
    rows = torch.cat([start + torch.arange(8, 24) for start in (0, 24, 48)])
    assert ours.query_key_value.weight.equal(attention.query_key_value.weight[rows])
    assert ours.query_key_value.bias.equal(attention.query_key_value.bias[rows])
    assert ours.projection.weight.equal(attention.projection.weight[:, 8:])


def test_narrow_heads_take_the_same_widths_of_queries_and_keys() -> None:
    """Each head its own ones, and LeViT's lie side by side."""
    spec = levit()
    ancestor = made(spec)
    attention = ancestor.stages[0].blocks[0].attention
    heads, (key, _, value) = attention.num_heads, attention.widths
    with torch.no_grad():
        rows = attention.query_key_value.norm.weight.view(heads, 2 * key + value)
        rows[:, : 2 * key] = 0.01
        for head in range(heads):
            rows[head, head:key:2] = rows[head, key + head : 2 * key : 2] = 1.0
    narrow = {"stages[0].block.key_dim": key // 2, "stages[0].block.attention_ratio": 4}
    network, _ = heir(changed(spec, **narrow), ancestor)
    ours = network.stages[0].blocks[0].attention.query_key_value.linear.weight
    ours = ours.view(heads, key + value, -1)
    theirs = attention.query_key_value.linear.weight.view(heads, 2 * key + value, -1)
    for head in range(heads):
        places = torch.arange(head % 2, key, 2)
        assert ours[head, : key // 2].equal(theirs[head, places])
        assert ours[head, key // 2 : key].equal(theirs[head, key + places])
        assert ours[head, key:].equal(theirs[head, 2 * key :])


def test_a_narrow_stage_has_the_same_channels_in_all_that_write_or_read_it() -> None:
    ancestor = made(small())
    kept = torch.tensor([0, 1, 2, 5, 6, 9, 10, 11, 14, 17, 20, 23])
    with torch.no_grad():
        for block in ancestor.stages[0].blocks:
            block.mlp[2].weight[kept] *= 30
    network, _ = heir(small(**{"stages[0].dim": 12}), ancestor)
    here, there = network.stages[0], ancestor.stages[0]
    assert here.embed.conv.weight.equal(there.embed.conv.weight[kept])
    assert here.position.equal(there.position[:, :, kept])
    assert here.class_token.equal(there.class_token[:, :, kept])
    assert network.head.norm.weight.equal(ancestor.head.norm.weight[kept])
    assert network.head.classifiers[0].weight.equal(ancestor.head.classifiers[0].weight[:, kept])
    for ours, theirs in zip(here.blocks, there.blocks, strict=True):
        assert ours.attention_norm.weight.equal(theirs.attention_norm.weight[kept])
        expected = theirs.attention.query_key_value.weight[:, kept]
        assert ours.attention.query_key_value.weight.equal(expected)
        assert ours.attention.projection.weight.equal(theirs.attention.projection.weight[kept])


@pytest.mark.parametrize(
    "change",
    [
        {"stages[0].dim": 48},
        {"stages[1].dim": 96},
        {"stages[2].depth": 7},
        {"stages[0].depth": 3, "stages[1].depth": 4},
        {"stages[all].block.mlp_ratio": 3},
        {"stages[0].block.num_heads": 3, "stages[1].embed.num_heads": 4},
        {"stages[1].embed.mlp_ratio": 4},
    ],
    ids=str,
)
def test_a_larger_levit_computes_what_its_ancestor_does(change: Mapping[str, Any]) -> None:
    """Its batch norms look at each channel alone, so nothing new is seen."""
    ancestor = made(levit())
    spec = levit(**{"stages[1].embed.num_heads": 2, "stages[2].embed.num_heads": 4} | dict(change))
    network, found = heir(spec, ancestor)
    torch.testing.assert_close(answers(network), answers(ancestor), rtol=PRECISE, atol=PRECISE)
    assert found.share < 1


def test_a_deeper_transformer_computes_what_its_ancestor_does() -> None:
    ancestor = made(small())
    network, _ = heir(small(**{"stages[0].depth": 8}), ancestor)
    torch.testing.assert_close(answers(network), answers(ancestor), rtol=PRECISE, atol=PRECISE)
    network.train()(torch.randn(2, 3, 32, 32)).sum().backward()
    ends = [block.mlp[2].weight.grad for block in network.stages[0].blocks]
    assert all(bool(end.abs().sum() > 0) for end in ends)


def test_a_larger_kernel_computes_what_its_ancestor_does() -> None:
    spec = changed(scaled(published("cvt_13"), 0.25), resolution=32, num_classes=5)
    ancestor = made(spec)
    network, found = heir(changed(spec, **{"stages[all].block.kernel": 5}), ancestor)
    torch.testing.assert_close(answers(network), answers(ancestor), rtol=PRECISE, atol=PRECISE)
    assert found.tensors["resized"] == 3 * 13


def test_a_smaller_kernel_gives_of_a_flat_map_what_the_larger_one_gave() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 2, 7, 7)
    small_ = kernel(weight, 3)
    torch.testing.assert_close(small_.sum((2, 3)), weight.sum((2, 3)))
    assert small_[:, :, 1, 1].equal(weight[:, :, 3, 3])
    assert kernel(small_, 7)[:, :, 2:5, 2:5].equal(small_)


def test_larger_patches_give_what_smaller_ones_gave() -> None:
    torch.manual_seed(0)
    weight, patch = torch.randn(6, 3, 4, 4), torch.randn(1, 3, 4, 4)
    resized = F.interpolate(patch, size=(10, 10), mode="bilinear", antialias=True)
    expected = F.conv2d(patch, weight)
    torch.testing.assert_close(
        F.conv2d(resized, patch_kernel(weight, 10)), expected, rtol=1e-3, atol=1e-4
    )


def test_smaller_patches_give_of_smooth_ones_nearly_what_larger_ones_gave() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 3, 16, 16)
    smooth = F.interpolate(torch.randn(1, 3, 4, 4), size=(16, 16), mode="bicubic")
    resized = F.interpolate(smooth, size=(8, 8), mode="bilinear", antialias=True)
    expected = F.conv2d(smooth, weight)
    error = (F.conv2d(resized, patch_kernel(weight, 8)) - expected).norm() / expected.norm()
    assert error < 0.1


@pytest.mark.parametrize("name", ["levit_128s", "deit_tiny_distilled"])
def test_another_resolution_is_interpolated_as_when_weights_are_loaded(
    name: str, tmp_path: Path
) -> None:
    spec = scaled(published(name), 0.25)
    ancestor, larger = made(spec), changed(spec, resolution=288)
    save_weights(ancestor, tmp_path / "a.safetensors")
    network, found = heir(larger, ancestor)
    expected = build(larger)
    loaded = load_weights(expected, tmp_path / "a.safetensors", interpolate=True)
    for key, value in expected.state_dict().items():
        assert network.state_dict()[key].equal(value), key
    assert found.tensors["interpolated"] == len(loaded.interpolated)
    assert found.share == 1


def test_other_classes_have_a_fresh_classifier() -> None:
    ancestor = made(levit())
    spec = levit(num_classes=7)
    network, found = heir(spec, ancestor)
    fresh = build(spec, seed=1)
    for ours, theirs in zip(network.head.classifiers, fresh.head.classifiers, strict=True):
        assert ours.linear.weight.equal(theirs.linear.weight)
        assert ours.linear.bias.equal(theirs.linear.bias)
    before = ancestor.head.classifiers[0].norm
    assert network.head.classifiers[0].norm.running_mean.equal(before.running_mean)
    classifier = network.head.classifiers[0].linear
    assert found.of - found.params == 2 * (classifier.weight.numel() + classifier.bias.numel())
    assert found.tensors["fresh"] == 4


def test_one_class_token_of_two_is_taken_with_its_row_of_the_table() -> None:
    two = scaled(published("deit_tiny_distilled"), 0.25)
    one = changed(two, **{"stages[0].class_tokens": 1, "head.num_classifiers": 1})
    ancestor = made(two)
    network, _ = heir(one, ancestor)
    table = ancestor.stages[0].position
    assert network.stages[0].position.equal(torch.cat((table[:, :1], table[:, 2:]), dim=1))
    back, _ = heir(two, network)
    assert back.stages[0].position[:, :1].equal(table[:, :1])
    assert back.stages[0].position[:, 2:].equal(table[:, 2:])
    assert not back.stages[0].position[:, 1].equal(table[:, 1])


@pytest.mark.parametrize("file", ["a.safetensors", "a.pth"])
def test_an_ancestor_is_read_from_a_file_that_says_which_it_is(file: str, tmp_path: Path) -> None:
    """As ours do, and by its size a published one under other names."""
    ancestor = made(published("levit_128s"))
    save_weights(ancestor, tmp_path / "a.safetensors")
    if file.endswith("pth"):
        convert_weights(tmp_path / "a.safetensors", tmp_path / file, to="timm")
    found = read_network(tmp_path / file)
    assert found.spec == ancestor.spec
    assert all(found.tensors[key].equal(value) for key, value in ancestor.state_dict().items())


@pytest.mark.parametrize("seed", range(30))
def test_any_network_is_an_ancestor_of_any_other(seed: int) -> None:
    rng = random.Random(seed)
    spec, other = random_spec(rng), random_spec(rng)
    network, found = heir(spec, made(other))
    assert 0 <= found.params < found.of
    assert found.of == sum(parameter.numel() for parameter in network.parameters())
    assert found.tensors["fresh"] >= 0
    assert bool(answers(network).isfinite().all())
