"""Illegal networks are refused from the spec alone, with place, value and what is allowed."""

import json
from typing import Any

import pytest

from archbench.errors import ArchbenchError
from archbench.models import ArchSpec, count
from archbench.models.catalogue import published
from archbench.models.path import override, parse_path

_CONV_STAGE = {"embed": {"kind": "conv"}, "dim": 8, "block": {"kind": "conv"}, "depth": 1}

REFUSED = [
    ("stages[1].block.head_dim", 7, r"^stages\[1\]\.block\.head_dim: 7 does not divide the width"),
    ("stages[1].block.kv_stride", 0, r"^stages\[1\]\.block\.kv_stride: 0 is not a whole number"),
    ("stages[1].block.kernel", 4, r"^stages\[1\]\.block\.kernel: the kernel 4 is not odd"),
    ("stages[1].block.projection", "conv", r"not one of depthwise, average, linear"),
    ("stages[1].block.mlp_ratio", "big", r"^stages\[1\]\.block\.mlp_ratio: 'big' is not a number"),
    ("stages[1].block.bias", 1, r"neither true nor false"),
    ("stages[1].depth", -1, r"^stages\[1\]\.depth: -1 is not a whole number"),
    ("stages[1].dim", True, r"^stages\[1\]\.dim: True is not a whole number"),
    ("stages[1].position", "rotary", r"not one of absolute, bias, none"),
    ("stages[1].class_tokens", 3, r"3 is not a whole number from 0 to 2"),
    ("stages[1].drop_path", 1.5, r"1.5 is not a number from 0 to 0.95"),
    ("stages[0].embed.kernel", 65, r"65 is not a whole number from 1 to 64"),
    ("stages[1].embed", {"kind": "none"}, r"cannot change the width from 64 to 192"),
    ("stages[0].embed", {"kind": "none"}, r"the first stage needs an embed"),
    ("stages[0].embed", {"kind": "patch"}, r"unknown embed 'patch'; known: .*conv, conv_stem"),
    ("head.pool", "max", r"^head\.pool: 'max' is not one of mean, class_token"),
    ("head.num_classifiers", 2, r"2 classifiers cannot read 1 class tokens"),
    ("resolution", 2, r"^stages\[\d\]\.embed\.kernel: a kernel of 7 .* does not fit the map"),
    ("stages[2].layers[4].kv_stride", 0, r"^stages\[2\]\.layers\[4\]\.kv_stride: 0 is not"),
    ("num_classes", 0, r"0 is not a whole number"),
    *(
        ("stages[1].block", block, rf"^stages\[1\]\.block{message}")
        for block, message in [
            ({"kind": "conv", "kernel": 2}, r"\.kernel: the kernel 2 is not odd"),
            ({"kind": "conv", "expansion": 0}, r"\.expansion: 0 is not a number from 0.125 to 64"),
            ({"kind": "conv", "depthwise": 1}, r"\.depthwise: 1 is neither true nor false"),
            ({"kind": "conv", "norm": "group"}, r"\.norm: 'group' is not one of batch, layer, no"),
            ({"kind": "vit"}, ": neither num_heads nor head_dim is given"),
            ({"kind": "vit", "num_heads": 5}, r"\.num_heads: 5 does not divide the width 192"),
            ({"kind": "cvt", "kv_strid": 1}, ": unknown key 'kv_strid'; did you mean kv_stride"),
        ]
    ),
    *(
        ("stages[1]", _CONV_STAGE | stage, rf"^stages\[1\]\.{message}")
        for stage, message in [
            ({"depth": 0, "position": "bias"}, "position: no attention of this stage takes"),
            ({"class_tokens": 1}, "class_tokens: class tokens need a block in whose"),
            ({"block": {"kind": "bottleneck", "reduction": 9}}, r"block\.reduction: 9 .* width 8"),
        ]
    ),
    *(
        ("stages[0].embed", {"kind": "resnet_stem", "stride": stride}, "is not one of 1, 2, 4")
        for stride in (0, 3, 8, True, "4")
    ),
    *(
        ("stages[0].embed", {"kind": "image_to_tokens", **fields}, message)
        for fields, message in [
            ({"stride": 6}, "the stride 6 is not 1, 2 or a multiple of 4"),
            ({"kernel": 4}, "the kernel 4 is not odd"),
        ]
    ),
    *(("stages", value, "stage") for value in (None, 3, "stage", [], {}, [3], [[]])),
]


def _with(path: str, value: Any) -> dict[str, Any]:
    return override(published("cvt_13").to_document(), parse_path(path), value)


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_an_illegal_value_is_refused_at_its_place(path: str, value: Any, message: str) -> None:
    with pytest.raises(ArchbenchError, match=message):
        ArchSpec.from_document(_with(path, value)).resolved()


@pytest.mark.parametrize("key", ["resolution", "num_classes", "stages", "head"])
def test_a_missing_key_is_named(key: str) -> None:
    document = published("cvt_13").to_document()
    del document[key]
    with pytest.raises(ArchbenchError, match=f"^{key} is missing"):
        ArchSpec.from_document(document)


def test_one_layer_may_differ() -> None:
    changed = _with("stages[2].layers[4].kv_stride", 1)
    before, after = published("cvt_13").resolved(), ArchSpec.from_document(changed).resolved()
    assert [b.kv_stride for b in after.stages[2].blocks] == [2] * 4 + [1] + [2] * 5  # type: ignore[attr-defined]
    assert before.stages[:2] == after.stages[:2]
    assert count(ArchSpec.from_document(changed)).macs > count("cvt_13").macs


def test_derived_heads_follow_the_width() -> None:
    for name in ("levit_128", "levit_256"):
        document = published(name).to_document()
        for stage in document["stages"]:
            del stage["block"]["num_heads"]
        assert ArchSpec.from_document(document).digest == published(name).digest


def test_layers_read_back_from_json() -> None:
    document = published("cvt_13").to_document()
    document["stages"][2]["layers"] = {4: {"kv_stride": 1}, 10: {"mlp_ratio": 2}}
    spec = ArchSpec.from_document(document)
    assert ArchSpec.from_document(json.loads(json.dumps(document))) == spec


@pytest.mark.parametrize("layers", [{"x": {}}, {True: {}}, {1: 3}, {1: {}, "1": {}}, [1], "1"])
def test_layers_that_are_none_are_refused(layers: Any) -> None:
    document = published("cvt_13").to_document()
    document["stages"][2]["layers"] = layers
    with pytest.raises(ArchbenchError, match=r"stages\[2\]\.layers"):
        ArchSpec.from_document(document)
