"""The rows of the papers' ablation tables: each is its base with some fields set."""

from __future__ import annotations

import re
from typing import Any

import pytest

from archbench.errors import UsageError
from archbench.models import ArchSpec, ablation_names, count, published_names
from archbench.models.catalogue import ablations, entry, families, family_of, published, variants

# Worked out by hand from CvT-13 (19,997,480 parameters, 4,566,089,216 MACs). Tables of positions
# are tokens x width; a projection has (9 + 2) x width parameters for each of q, k and v, and
# without its stride of 2 keys and values keep 3136, 784 and 197 tokens.
BY_HAND = {
    "cvt_13/t5_every": (19_997_480 + 56**2 * 64 + 28**2 * 192 + 197 * 384, 4_566_089_216),
    "cvt_13/t5_first": (19_997_480 + 56**2 * 64, 4_566_089_216),
    "cvt_13/t5_last": (19_997_480 + 197 * 384, 4_566_089_216),
    "cvt_13/t6_none": (
        19_997_480 - (49 - 16) * 3 * 64 - (9 - 4) * (64 * 192 + 192 * 384),
        4_566_089_216
        - 56**2 * (49 - 16) * 3 * 64
        - 28**2 * (9 - 4) * 64 * 192
        - 14**2 * (9 - 4) * 192 * 384,
    ),
    "deit_small/t5_none": (22_050_664 - 197 * 384, 4_598_882_304),
    "cvt_13/t8_none": (
        19_997_480 - 3 * 11 * (64 + 2 * 192 + 10 * 384),
        6_643_074_560 - 3 * 9 * (56**2 * 64 + 2 * 28**2 * 192 + 10 * 14**2 * 384),
    ),
    "cvt_13/t8_1_2": (
        19_997_480 - 10 * 3 * 11 * 384,
        4_566_089_216
        + 10 * 2 * (197 - 50) * 384**2  # two linears over more tokens
        + 10 * 2 * 197 * (197 - 50) * 384  # both attention products
        - 10 * 9 * (196 + 2 * 49) * 384,  # no depthwise convolutions
    ),
}


def test_every_row_of_the_tables_is_there() -> None:
    rows = [name.split("/")[1] for name in ablation_names() if name.startswith("cvt_13/t")]
    assert rows == [
        *("t5_every", "t5_first", "t5_last"),
        *("t6_none", "t6_position", "t6_conv_position"),
        *("t7_stride_1", "t8_none", "t8_1", "t8_1_2"),
    ]
    levit = {name for name in ablation_names() if name.startswith("levit_128s/")}
    assert levit == {"levit_128s/base", *(f"levit_128s/a{row}" for row in range(1, 8))}
    assert "deit_small/t5_none" in ablation_names()


@pytest.mark.parametrize("name", BY_HAND)
def test_parameters_and_macs_are_those_worked_out_by_hand(name: str) -> None:
    counted = count(name)
    assert (counted.params, counted.macs) == BY_HAND[name]


def test_narrow_blocks_reach_what_the_paper_prints_of_a6() -> None:
    counted = count("levit_128s/a6")
    assert (round(counted.params / 1e6, 1), round(counted.macs / 1e6)) == (6.2, 312)


def test_narrow_blocks_have_keys_queries_and_values_of_one_width() -> None:
    stages = published("levit_128s/a6").resolved().to_document()["stages"]
    parts = [part for stage in stages for part in (stage["embed"], *stage["blocks"])][1:]
    assert {(part["key_dim"], part["attention_ratio"], part["mlp_ratio"]) for part in parts} == {
        (30, 1, 4)
    }
    assert [stage["embed"].get("num_heads") for stage in stages] == [None, 16, 24]


def test_the_position_of_a5_is_one_embedding_behind_the_stem() -> None:
    positions = [stage.position for stage in published("levit_128s/a5").stages]
    assert positions == ["absolute", "none", "none"]


def test_no_attention_of_a7_has_an_activation() -> None:
    document = published("levit_128s/a7").to_document()
    parts = [stage[part] for stage in document["stages"] for part in ("embed", "block")]
    assert [part["attention_activation"] for part in parts[1:]] == ["none"] * 5


def test_without_distillation_the_network_is_that_of_the_base() -> None:
    a4 = entry("levit_128s/a4")
    assert published("levit_128s/a4").digest == published("levit_128s/base").digest
    assert a4.training == {"teacher": "none"}  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ablation_names())
def test_an_ablation_builds_and_stands_in_a_table(name: str) -> None:
    found: Any = entry(name)
    published(name).resolved()
    assert found.paper.source.split(",")[0] in {"CvT", "LeViT"}
    assert found.paper.row
    assert name.startswith(f"{found.base.split('/')[0]}/")
    assert published(name).digest != published(found.base).digest or found.training


def test_the_base_of_an_ablation_stays_as_it_was() -> None:
    before = published("cvt_13").to_document()
    for name in ablation_names():
        published(name)
    assert ArchSpec.from_document(variants()["cvt_13"].document | {"name": "cvt_13"}) == (
        ArchSpec.from_document(before)
    )


def test_names_of_variants_and_ablations_are_apart() -> None:
    assert not set(published_names()) & set(ablation_names())
    assert all("/" in name for name in ablation_names())
    assert not any("/" in name for name in published_names())


def test_the_family_of_a_name_is_its_file() -> None:
    assert family_of("cvt_13/t8_none") == "cvt"
    assert {family_of(name) for name in ablations()} <= set(families())


def test_an_unknown_row_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=re.escape("did you mean levit_128s/a")):
        count("levit_128s/a9")
