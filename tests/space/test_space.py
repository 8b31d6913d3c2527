"""Spaces: axes, activity, exact numbers, uniform samples."""

import itertools
import math
import random
from collections import Counter

import pytest
import torch

from archbench.errors import SpaceError, SpecError, UsageError
from archbench.models import ArchSpec, as_spec, build, count
from archbench.models.attention import Attend
from archbench.space import InfeasibleError, SearchSpace, shipped
from archbench.yaml_document import write_flow
from tests.space.conftest import NETWORK


def names(space):
    return [axis.name for axis in space.axes]


def first(axis):
    return 0


def digest(document):
    """Of a legal network; None of an illegal one."""
    try:
        return ArchSpec.from_document(document).digest
    except SpecError:
        return None


def digests(space):
    """The digest of every candidate that is enumerated, in order."""
    return [digest(space.document(choices)) for choices in space.enumerate()]


def all_networks(space):
    """What every combination of values makes, whether or not an axis is active in it."""
    found = set()
    for indices in itertools.product(*(range(len(axis.values)) for axis in space.axes)):
        choices = dict(zip(names(space), indices, strict=True))
        found.add(digest(space.document(choices)))
    return found


def test_each_makes_one_axis_for_every_part_that_has_the_field(make):
    space = make("axes:\n  stages[each].dim: [32, 64]\n  stages[each].block.kv_stride: [1, 2]")
    assert names(space) == ["stages[0].dim", "stages[1].dim", "stages[0].block.kv_stride"]


def test_all_makes_one_axis_that_every_part_shares(make):
    space = make("axes:\n  stages[all].block.mlp_ratio: [1, 4]")
    spec = space.decode({"stages[all].block.mlp_ratio": 1})
    assert names(space) == ["stages[all].block.mlp_ratio"]
    assert [stage.block.mlp_ratio for stage in spec.stages] == [4, 4]


def test_layers_choose_for_themselves_up_to_the_depth(make):
    space = make("axes:\n  stages[1].layers[each].mlp_ratio: [1, 2]\n  stages[1].depth: [1, 3]")
    assert names(space) == [
        "stages[1].layers[0].mlp_ratio",
        "stages[1].depth",
        "stages[1].layers[1].mlp_ratio",
        "stages[1].layers[2].mlp_ratio",
    ]
    assert space.size() == 2 + 8
    assert space.choose(first) == {"stages[1].layers[0].mlp_ratio": 0, "stages[1].depth": 0}


def test_a_range_includes_its_end(make):
    space = make("axes:\n  stages[0].depth: {from: 1, to: 7, step: 2}")
    assert space.axes[0].values == (1, 3, 5, 7)


def test_whole_parts_are_choices_with_a_label(make):
    space = make(
        "axes:\n  stages[1].block:\n    - {kind: levit, key_dim: 16}\n"
        "    - {kind: cvt, head_dim: 16, kv_stride: 1}\n    - {kind: cvt, num_heads: 2}"
    )
    labels = [space.values({"stages[1].block": index})["stages[1].block"] for index in range(3)]
    assert labels == ["levit(key_dim=16)", "cvt(head_dim=16, kv_stride=1)", "cvt(num_heads=2)"]
    assert space.decode({"stages[1].block": 1}).stages[1].block.kv_stride == 1


def test_a_field_is_active_only_where_the_chosen_part_has_it(make):
    space = make(
        "axes:\n  stages[1].block.kv_stride: [1, 2]\n"
        "  stages[1].block: [{kind: levit}, {kind: cvt, head_dim: 16}]"
    )
    assert names(space) == ["stages[1].block", "stages[1].block.kv_stride"]
    assert space.choose(first) == {"stages[1].block": 0}
    assert space.size() == 1 + 2
    assert space.decode({"stages[1].block": 0}).stages[1].block.kind == "levit"


def test_a_part_may_get_what_it_needs_from_an_axis(make):
    space = make(
        "axes:\n  stages[1].block: [{kind: levit}, {kind: cvt}]\n"
        "  stages[1].block.head_dim: [16, 32]"
    )
    assert space.size() == 3
    spec = space.decode({"stages[1].block": 1, "stages[1].block.head_dim": 1})
    assert spec.stages[1].block.head_dim == 32


def test_when_makes_an_axis_wait_for_another(make):
    space = make(
        "axes:\n  stages[0].position:\n    values: [bias, absolute]\n"
        "    when: stages[0].dim >= 64\n  stages[0].dim: [32, 64, 96]"
    )
    assert names(space) == ["stages[0].dim", "stages[0].position"]
    assert space.size() == 1 + 2 + 2
    assert space.choose(first) == {"stages[0].dim": 0}


def test_each_in_when_means_the_place_of_the_axis(make):
    space = make(
        "axes:\n  stages[each].position:\n    values: [bias, absolute]\n"
        "    when: stages[each].block.kind == cvt"
    )
    assert space.choose(first) == {"stages[0].position": 0}
    assert space.size() == 2


def test_a_stride_that_the_base_does_not_use_is_never_active():
    text = NETWORK.replace("head_dim: 16,", "head_dim: 16, projection: linear,")
    space = SearchSpace(text + "axes:\n  stages[0].block.kv_stride: [1, 2]", source="s.yaml")
    assert space.size() == 1
    assert space.choose(first) == {}


def test_where_a_part_is_not_chosen_the_base_has_its_fields(make):
    space = make(
        "axes:\n  stages[0].dim: [32, 64]\n  stages[1].block.attention_ratio: [2, 4]\n"
        "  stages[1].block:\n    values: [{kind: levit}, {kind: cvt, head_dim: 16}]\n"
        "    when: stages[0].dim == 32"
    )
    assert space.size() == (2 + 1) + 2
    assert len(set(digests(space))) == 5


LAYERED = NETWORK.replace("    depth: 2\n", "    depth: 2\n    layers: {1: {attention_ratio: 4}}\n")


def test_layers_of_the_base_are_cut_to_the_depth():
    space = SearchSpace(LAYERED + "axes:\n  stages[1].depth: [1, 2]", source="s.yaml")
    assert "layers" in space.document({"stages[1].depth": 1})["stages"][1]
    assert not space.document({"stages[1].depth": 0})["stages"][1]["layers"]


def test_layers_of_the_base_go_with_the_block_that_is_replaced():
    axes = "axes:\n  stages[1].block: [{kind: levit, attention_ratio: 1}, {kind: cvt, head_dim: 8}]"
    space = SearchSpace(LAYERED + axes, source="s.yaml")
    blocks = [space.decode(choices).resolved().stages[1].blocks for choices in space.enumerate()]
    assert [block.kind for block in blocks[1]] == ["cvt", "cvt"]
    assert [block.attention_ratio for block in blocks[0]] == [1, 1]


@pytest.mark.parametrize(
    ("axes", "size"),
    [
        ("stages[1].block: [{kind: cvt, head_dim: 16}, {kind: cvt, num_heads: 4}]", 1),
        (
            "stages[1].block: [{kind: cvt, head_dim: 16}, {kind: cvt, num_heads: 4}]\n"
            "  stages[1].dim: [32, 64, 128]",
            5,
        ),
        ("stages[1].block.num_heads: [null, 2, 4]", 2),
        ("stages[1].block.num_heads: [null, 1, 4]\n  stages[1].dim: [32, 64]", 5),
        ("stages[0].drop_path: [0.1, [0.1, 0.1], [0.1, 0.2]]", 1),
        ("stages[0].drop_path: [0, [0, 0.1]]\n  stages[0].depth: [1, 2]", 3),
        (
            "stages[1].block:\n"
            "    - {kind: cvt, head_dim: 16, projection: linear, kv_stride: 1}\n"
            "    - {kind: cvt, head_dim: 16, projection: linear, kv_stride: 2}\n"
            "    - {kind: levit}",
            2,
        ),
        ("stages[0].depth: [0, 1]\n  stages[0].block.kv_stride: [1, 2]", 1 + 2),
        (  # a stride without effect is no choice
            "stages[0].block.kv_stride: [1, 2]\n  stages[0].block.projection: [depthwise, linear]",
            3,
        ),
        (  # a shared stride counts where any part uses it
            "stages[1].block: [{kind: levit}, {kind: cvt, head_dim: 16}]\n"
            "  stages[each].block.projection: [average, linear]\n"
            "  stages[all].block.kv_stride: [1, 2]",
            10,
        ),
        (  # a stride of the block counts where any layer uses it
            "stages[0].depth: [1, 2]\n  stages[0].block.kv_stride: [1, 2]\n"
            "  stages[0].layers[each].projection: [depthwise, linear]",
            3 + 7,
        ),
    ],
)
def test_choices_that_resolve_to_one_network_are_one_candidate(make, axes, size):
    space = make(f"axes:\n  {axes}")
    assert space.size() == size
    assert len(set(digests(space))) == len(digests(space)) == len(all_networks(space)) == size


def test_the_first_of_equal_values_stands_for_all(make):
    space = make("axes:\n  stages[1].block.num_heads: [2, null, 4]")
    assert space.choose(lambda axis: 1) == {"stages[1].block.num_heads": 0}


def random_axes(draw):
    """Axes over the small network, from a fixed stock without conflicts."""
    stock = [
        "stages[0].dim: [32, 64]",
        "stages[1].dim: [64, 96]",
        "stages[0].depth: [0, 1, 2]",
        "stages[1].depth: {from: 1, to: 2}",
        "stages[0].position: [bias, absolute]",
        "stages[each].layers[each].mlp_ratio: [1, 2]",
        "stages[0].block.projection: [linear, depthwise]",
        "stages[1].layers[each].attention_ratio: [1, 2]",
        "stages[each].block.kv_stride: [1, 2]",
        "stages[1].block: [{kind: levit}, {kind: cvt, head_dim: 16}, {kind: cvt, num_heads: 4}]",
        "head.norm: [layer, batch]",
        "stages[all].block.activation: [gelu, silu]",
        "stages[1].drop_path: [0, [0, 0.1]]",
    ]
    return "\n  ".join(draw.sample(stock, draw.randint(2, 5)))


@pytest.mark.parametrize("seed", range(25))
def test_the_size_is_the_number_of_different_networks(make, seed):
    space = make(f"axes:\n  {random_axes(random.Random(seed))}")
    if math.prod(len(axis.values) for axis in space.axes) > 1000:
        pytest.skip("too many combinations to make every network")
    found = digests(space)
    legal = [network for network in found if network is not None]
    assert space.size() == len(found)
    assert len(legal) == len(set(legal))
    assert set(found) == all_networks(space)


def test_samples_are_uniform_over_candidates(make):
    space = make(
        "axes:\n  stages[1].depth: [1, 2, 3]\n  stages[1].layers[each].mlp_ratio: [1, 2]\n"
        "  stages[0].block.projection: [linear, depthwise]\n  stages[0].block.kv_stride: [1, 2]"
    )
    draw = random.Random(0)
    seen = Counter(tuple(sorted(space.sample(draw).items())) for _ in range(4200))
    assert len(seen) == space.size() == 14 * 3
    expected = 4200 / 42
    statistic = sum((number - expected) ** 2 / expected for number in seen.values())
    assert statistic < 75  # 41 degrees of freedom: exceeded by chance once in a thousand


def test_more_than_10_to_the_12_candidates_are_counted_without_being_enumerated(make):
    space = make(
        "axes:\n  stages[each].depth: {from: 1, to: 24}\n"
        "  stages[each].layers[each].mlp_ratio: [1, 2, 3, 4]\n"
        "  stages[0].layers[each].kv_stride: [1, 2]\n  stages[each].dim: [32, 64, 96]"
    )
    assert space.size() == 9 * sum(8**d for d in range(1, 25)) * sum(4**d for d in range(1, 25))
    share = space.feasible(samples=20)
    assert not share.is_exact
    assert share.samples == 20


def test_choices_are_asked_in_order_and_only_where_active(make):
    space = make(
        "axes:\n  stages[0].depth: [1, 2]\n  stages[0].layers[each].kv_stride: [1, 2]\n"
        "  stages[0].layers[each].projection: [depthwise, linear]"
    )
    asked = []
    space.choose(lambda axis: asked.append(axis.name) or 1)
    assert asked == [
        "stages[0].depth",
        "stages[0].layers[0].projection",
        "stages[0].layers[1].projection",
    ]


def test_a_chooser_with_an_index_that_is_not_there_is_refused(make):
    with pytest.raises(ValueError, match=r"stages\[0\].dim has no value number 7"):
        make("axes:\n  stages[0].dim: [32, 64]").choose(lambda axis: 7)


def test_decode_gives_a_spec_with_the_name_of_the_space(make):
    space = make("axes:\n  stages[0].dim: [32, 64]", name="tiny")
    spec = space.decode({"stages[0].dim": 1})
    assert (spec.name, spec.stages[0].dim, spec.stages[1].dim) == ("tiny", 64, 64)


def test_decoding_leaves_the_base_as_it_is(make):
    space = make(
        "axes:\n  stages[each].dim: [96, 128]\n  stages[1].layers[each].mlp_ratio: [1, 4]\n"
        "  stages[0].block.kv_stride: [1, 4]\n  head.norm: [layer, none]"
    )
    before = repr(space.base)
    space.decode(space.sample(random.Random(0)))
    assert repr(space.base) == before


CONVOLVING = """\
axes:
  stages[each].block:
    - {kind: levit, key_dim: 16}
    - {kind: conv, expansion: 2, depthwise: true}
    - {kind: bottleneck}
  stages[each].block.kernel: [3, 5]
  stages[1].position: [bias, none]
"""


@pytest.fixture
def convolving(make):
    return make(CONVOLVING)


def test_a_kernel_is_chosen_only_where_the_block_convolves(convolving):
    assert names(convolving) == [
        "stages[0].block",
        "stages[1].block",
        "stages[0].block.kernel",
        "stages[1].block.kernel",
        "stages[1].position",
    ]
    assert convolving.size() == 4 * 4 * 2 == len(digests(convolving))
    assert set(digests(convolving)) == all_networks(convolving)


def test_a_position_needs_attention_in_its_stage(convolving):
    illegal = [choices for choices in convolving.enumerate() if not convolving.is_feasible(choices)]
    assert len(illegal) == 4 * 3
    with pytest.raises(
        InfeasibleError, match=r"stages\[1\]\.position: no attention of this stage takes"
    ):
        convolving.decode(illegal[0])


def test_a_network_without_attention_builds(convolving):
    blocks = names(convolving)[:2]
    plain = (c for c in convolving.enumerate() if all(c[block] == 1 for block in blocks))
    choices = next(filter(convolving.is_feasible, plain))
    network = build(convolving.decode(choices)).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert not any(isinstance(module, Attend) for module in network.modules())


def test_a_space_without_axes_is_its_base(make):
    space = make()
    assert space.size() == 1
    assert list(space.enumerate()) == [{}]
    assert space.sample(random.Random(0)) == {}


def test_a_published_network_or_an_ablation_is_a_base():
    space = SearchSpace("base: cvt_13\nset: {head.epsilon: 1e-6}", source="s.yaml")
    assert space.decode({}).head.epsilon == 1e-6
    assert space.decode({}).stages == as_spec("cvt_13").stages
    ablated = SearchSpace("base: levit_128s/a1", source="s.yaml")
    assert ablated.decode({}).digest == as_spec("levit_128s/a1").digest


def test_what_models_show_prints_starts_a_space():
    text = write_flow(as_spec("levit_128").to_document())
    space = SearchSpace(text, source="any.yaml")
    assert space.name == "levit_128"
    assert space.decode({}).digest == as_spec("levit_128").digest


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_space_loads_with_a_question_and_feasible_candidates(name):
    space = SearchSpace.load(name)
    assert space.name == name
    assert space.question.endswith("?") or "?" in space.question
    draw = random.Random(0)
    assert space.size() > 1000
    assert space.sample_feasible(draw, tries=200) is not None
    assert SearchSpace(space.text, source="x.yaml", name=name).size() == space.size()


def test_a_plain_document_is_a_space_that_its_text_makes_again():
    document = {
        "base": as_spec("levit_128s").to_document(),
        "axes": {"stages[0].dim": [96, 128], "stages[0].depth": {"from": 1, "to": 2}},
        "require": ["macs <= 400e6"],
        "proxy": {"rungs": (1, 2)},
    }
    space = SearchSpace.load(document, overrides=["search.trials=3"])
    assert (space.name, space.size(), space.search.trials) == ("space", 4, 3)
    assert SearchSpace(space.text, source="x.yaml", name=space.name).digest == space.digest
    assert SearchSpace.load({**document, "name": "mine"}).name == "mine"
    assert SearchSpace.load(space) is space
    assert SearchSpace.load(space, overrides=["search.seed=2"]).search.seed == 2


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        (5, UsageError, "space: got an int, which cannot be taken here; give a file"),
        ({"base": object()}, SpaceError, "space: the document cannot be written as YAML: "),
        ({"base": "levit_128s", "axs": {}}, SpaceError, "unknown key 'axs'; did you mean axes"),
    ],
)
def test_a_document_that_is_none_is_refused(given, kind, told):
    with pytest.raises(kind, match=told):
        SearchSpace.load(given)


def test_the_resolution_is_an_axis_that_conditions_may_read(make):
    space = make(
        "axes:\n  resolution: {from: 16, to: 48, step: 16}\n"
        "  stages[1].depth: {values: [1, 2], when: resolution >= 32}\n"
        "require:\n  - resolution * stages[0].dim <= 1100\n"
    )
    assert space.size() == 5
    assert space.trained_sides == {16: 16, 32: 32, 48: 48}
    specs = [space.decode(choices) for choices in space.enumerate() if space.is_feasible(choices)]
    assert [spec.resolution.height for spec in specs] == [16, 32, 32]
    assert len({spec.digest for spec in specs}) == 3
    assert count(specs[0]).macs < count(specs[1]).macs
    assert len(make("axes: {resolution: [16, 32]}", overrides=["resolution=32"]).axes) == 0


def test_resolutions_that_are_set_take_the_base_to_the_largest(make):
    said = ["resolution=[24, 48]", "proxy.resolution=48"]
    space = make("axes: {resolution: [16, 32]}", overrides=said)
    assert (space.base["resolution"], space.trained_sides) == (48, {24: 24, 48: 48})
    kept = SearchSpace(space.text, source="kept.yaml")
    assert (kept.digest, kept.overridden) == (space.digest, {"resolution", "proxy.resolution"})
    same = make("axes: {resolution: [16, 32]}", overrides=["resolution=[32, 48]"])
    assert same.base["resolution"] == 32, "it is among them"


def test_candidates_are_legal_at_the_side_at_which_they_are_trained(make):
    space = make("axes: {resolution: [16, 32]}\noverrides: {proxy.resolution: 16}\n")
    assert space.trained_sides == {16: 8, 32: 16}
    few = "axes:\n  resolution: [32, 36]\noverrides: {proxy.resolution: 8, proxy.stem: as_is}\n"
    with pytest.raises(SpaceError, match="32 and 36 would both be trained at 8 px; take one out"):
        make(few)


def test_a_teacher_knows_one_resolution(make):
    taught = "axes: {resolution: [16, 32]}\noverrides: {proxy.teacher: convolutional}"
    with pytest.raises(SpaceError, match="teacher knows images of one resolution only; write"):
        make(taught)
