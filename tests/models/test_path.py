"""Paths: their form, what they select, and overrides that change nothing but the copy."""

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.errors import SpecError
from archbench.models.path import expand, get, override, parse_path
from archbench.models.spec import ArchSpec


@pytest.fixture
def network():
    return {
        "name": "small",
        "resolution": 32,
        "num_classes": 10,
        "stages": [
            {
                "embed": {"kind": "conv", "kernel": 7, "stride": 4, "padding": 2, "norm": "layer"},
                "block": {"kind": "cvt", "head_dim": 16, "kv_stride": 2, "mlp_ratio": 4},
                "dim": 32,
                "depth": 2,
            },
            {
                "embed": {"kind": "shrink_attention", "key_dim": 16, "stride": 2},
                "block": {"kind": "levit", "num_heads": 4, "key_dim": 16, "attention_ratio": 2},
                "dim": 64,
                "depth": 3,
                "position": "bias",
                "layers": {2: {"attention_ratio": 4}},
            },
        ],
        "head": {"pool": "mean", "norm": "batch", "num_classifiers": 2},
    }


def texts(paths):
    return [str(path) for path in paths]


@pytest.mark.parametrize(
    "text",
    [
        "resolution",
        "head.num_classifiers",
        "stages[1].block.kv_stride",
        "stages[all].block.kv_stride",
        "stages[each].depth",
        "stages[1].layers[each].attention_ratio",
        "stages[0].embed",
    ],
)
def test_a_path_prints_as_it_was_written(text):
    assert str(parse_path(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a name at column 1, got the end"),
        ("stages[1]..dim", "expected a name at column 11"),
        ("stages[1].dim.", "expected a name at column 15, got the end"),
        ("stages[-1].dim", r"expected '.' or the end at column 7"),
        ("stages[some].dim", "expected a number, each or all at column 8"),
        ("stages[1].dim x", "at column 14"),
        ("stages.dim", "say which stage"),
        ("stage[1].dim", "did you mean stages"),
        ("head[0].pool", "head is not a list"),
        ("stages[1].layers.kv_stride", r"written stages\[1\].layers\[0\].field"),
        ("stages[1].layers[0]", r"written stages\[1\].layers\[0\].field"),
        ("layers[0].dim", "unknown field of a network"),
    ],
)
def test_a_text_that_is_no_path_says_where_it_stops(text, message):
    with pytest.raises(SpecError, match=message):
        parse_path(text)


@given(st.text(max_size=60))
def test_any_text_is_a_path_or_a_spec_error(text):
    with contextlib.suppress(SpecError):
        assert str(parse_path(text))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("stages[each].dim", ["stages[0].dim", "stages[1].dim"]),
        ("stages[all].dim", ["stages[0].dim", "stages[1].dim"]),
        ("stages[each].block.attention_ratio", ["stages[1].block.attention_ratio"]),
        # A field that is not written exists all the same.
        ("stages[all].block.activation", [f"stages[{i}].block.activation" for i in (0, 1)]),
        ("stages[1].layers[each].key_dim", [f"stages[1].layers[{i}].key_dim" for i in range(3)]),
        ("stages[each].layers[2].mlp_ratio", ["stages[1].layers[2].mlp_ratio"]),
    ],
)
def test_a_path_selects_every_place_that_has_the_field(network, text, found):
    assert texts(expand(network, parse_path(text))) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages[5].dim", r"the network has 2 stages, 5 is not among .* 0 to 1"),
        ("stages[0].dimm", r"stages\[0\].dimm: unknown field .*did you mean dim\?"),
        ("resolution.width", "resolution has no field width"),
        ("stages[1].layers[3].mlp_ratio", r"stages\[1\] has 3 layers, 3 is not among them.*0 to 2"),
        ("stages[all].block.kv_strde", r"of stages\[all\].block 'kv_strde'; did you"),
    ],
)
def test_a_path_that_selects_nothing_says_why(network, text, message):
    with pytest.raises(SpecError, match=message):
        expand(network, parse_path(text))


def test_override_leaves_the_document_as_it_is(network):
    before = copy.deepcopy(network)
    changed = override(network, parse_path("stages[all].dim"), 96)
    assert network == before
    assert [stage["dim"] for stage in changed["stages"]] == [96, 96]


def test_override_of_a_whole_part_replaces_it(network):
    changed = override(network, parse_path("stages[1].embed"), {"kind": "conv", "kernel": 3})
    assert changed["stages"][1]["embed"] == {"kind": "conv", "kernel": 3}
    assert changed["stages"][0] is network["stages"][0]


def test_get_reads_one_place_that_is_written(network):
    path = parse_path("head.epsilon")
    assert get(override(network, path, 1e-6), path) == 1e-6
    with pytest.raises(SpecError, match=r"head.epsilon: nothing is written there"):
        get(network, path)
    with pytest.raises(SpecError, match="one place is needed"):
        get(network, parse_path("stages[all].dim"))


def test_a_stage_without_block_has_no_depth_to_choose(network):
    del network["stages"][0]["block"]
    network["stages"][0]["depth"] = 0
    found = expand(network, parse_path("stages[each].depth"))
    assert texts(found) == ["stages[1].depth"]


def test_override_of_one_layer_leaves_the_others(network):
    changed = override(network, parse_path("stages[1].layers[0].attention_ratio"), 1)
    assert changed["stages"][1]["layers"] == {0: {"attention_ratio": 1}, 2: {"attention_ratio": 4}}
    assert network["stages"][1]["layers"] == {2: {"attention_ratio": 4}}


@pytest.mark.parametrize(("layer", "ratio"), [(0, 2), (2, 4)])
def test_get_of_a_layer_falls_back_on_the_block(network, layer, ratio):
    assert get(network, parse_path(f"stages[1].layers[{layer}].attention_ratio")) == ratio


def test_an_override_gives_a_spec_that_differs_in_that_field_alone(network):
    before = ArchSpec.from_document(network)
    changed = override(network, parse_path("stages[all].block.mlp_ratio"), 3)
    after = ArchSpec.from_document(changed)
    assert [stage.block.mlp_ratio for stage in after.stages] == [3, 3]
    assert after.stages[1].layers == before.stages[1].layers
