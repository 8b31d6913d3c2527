"""The catalogue against released code, papers' tables of ablations, and printed counts."""

from typing import Any

import pytest
import torch

from archbench.models import ArchSpec, ablation_names, build, count, fold, published_names
from archbench.models.catalogue import Paper, difference, entry, families, published
from archbench.models.part import field_names

# No code was released for these; their parameters are those of the paper's table to its last
# digit, and their convolutions are its column less what it counts beyond MACs.
OURS = {"graft_1_9", "graft_2_6", "graft_3_3"}

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


@pytest.mark.parametrize("name", [*published_names(), *ablation_names()])
def test_counts_are_those_of_the_released_code(name: str) -> None:
    counted, released = count(name, training=True), entry(name).released
    assert released in ((counted.params, counted.macs), None)


def test_only_grafts_and_some_rows_have_no_released_code() -> None:
    assert {name for name in published_names() if entry(name).released is None} == OURS
    known = {name for name in ablation_names() if entry(name).released}
    assert known == {
        *("cvt_13/t7_stride_1", "cvt_13/nas_smallest", "cvt_13/nas_stride_1"),
        *("levit_128s/base", "levit_128s/a1", "levit_128s/a2", "levit_128s/a4"),
        *("shvit_s3/none", "shvit_s3/partial_1_8", "shvit_s3/partial_1_2"),
    }


@pytest.mark.parametrize(
    ("name", "column"), [("graft_1_9", 820), ("graft_2_6", 1876), ("graft_3_3", 3385)]
)
def test_convolutions_of_a_graft_are_a_little_less_than_its_table_prints(
    name: str, column: int
) -> None:
    assert count(name).total.convolution / 1e6 == pytest.approx(column, rel=0.02)
    assert published(name).resolved().stages[-1].grid == (14, 14)  # where it joins


def test_kinds_of_work_sum_to_the_parts_of_cvt_13() -> None:
    work = count("cvt_13").total
    assert work.convolution == 246_263_808 + 16_934_400
    assert work.linear == 905_052_160 + 384_000
    assert work.attention == 508_365_824
    assert work.mlp == 2_889_089_024


@pytest.mark.parametrize("name", [*published_names(), *ablation_names()])
def test_the_written_form_reads_back_as_itself(name: str) -> None:
    spec = published(name)
    assert ArchSpec.from_document(spec.to_document()) == spec
    assert spec.name == name


@pytest.mark.parametrize("name", published_names())
def test_the_paper_s_parameters_are_near_the_exact_ones(name: str) -> None:
    printed = entry(name).paper.params
    if printed is None:
        assert entry(name).paper.note
        return
    number = printed.removesuffix(" M")
    # DeiT prints whole millions, and 5 M for 5.7 M.
    last_digit = 0.0 if "." in number else 0.75
    exact = count(name).params
    if name.startswith("repvit"):  # which prints what folding leaves
        with torch.device("meta"):
            exact = sum(parameter.numel() for parameter in fold(build(name)).parameters())
    is_near = float(number) == pytest.approx(exact / 1e6, rel=0.013, abs=last_digit)
    assert is_near or difference(exact, printed).kind in {"rounded", "cut off"}


def test_a_family_says_nothing_that_is_not_read() -> None:
    printed = set(field_names(Paper))
    for family in families().values():
        names = ("title", "document", "variant", "variants", "ablation", "ablations")
        assert family.keys() <= set(names)
        for table in (family.get("variant", {}), *family["variants"].values()):
            changes = {"like", "stages", "before", "each", "set"}
            assert table.keys() <= printed | changes | {"released", "hub"}
        for table in (family.get("ablation", {}), *family.get("ablations", {}).values()):
            assert table.keys() <= printed | {"base", "set", "training", "released"}


@pytest.mark.parametrize("name", BY_HAND)
def test_parameters_and_macs_are_those_worked_out_by_hand(name: str) -> None:
    counted = count(name)
    assert (counted.params, counted.macs) == BY_HAND[name]


def test_narrow_blocks_have_keys_queries_and_values_of_one_width() -> None:
    stages = published("levit_128s/a6").resolved().to_document()["stages"]
    parts = [part for stage in stages for part in (stage["embed"], *stage["blocks"])][1:]
    assert {(part["key_dim"], part["attention_ratio"], part["mlp_ratio"]) for part in parts} == {
        (30, 1, 4)
    }
    assert [stage["embed"].get("num_heads") for stage in stages] == [None, 16, 24]


def test_without_distillation_the_network_is_that_of_the_base() -> None:
    a4 = entry("levit_128s/a4")
    assert published("levit_128s/a4").digest == published("levit_128s/base").digest
    assert a4.training == {"teacher": "none"}


@pytest.mark.parametrize("name", ablation_names())
def test_an_ablation_builds_and_stands_in_a_table(name: str) -> None:
    found: Any = entry(name)
    published(name).resolved()
    title = families()[found.family]["title"].partition(":")[0]
    assert found.paper.source.split(",")[0] in {title, "CvT"}  # whose table 5 has a row on DeiT
    assert found.paper.row
    assert name.startswith(f"{found.base.split('/')[0]}/")
    assert published(name).digest != published(found.base).digest or found.training


@pytest.mark.parametrize(
    ("exact", "printed", "kind"),
    [
        (7_777_058, "7.8 M", "rounded"),
        (304_660_832, "305 M", "rounded"),
        (4_500_000_000, "4.5 G", "rounded"),
        (19_997_480, "19.98 M", "differs"),
        (1_127_257_344, "1120 M", "differs"),
        (5_717_416, "5 M", "cut off"),
        (5_717_416, "6 M", "rounded"),
        (86_567_656, "86 M", "cut off"),
        (4_999_999, "6 M", "differs"),
        (6_000_000, "5 M", "differs"),
        (405_321_728, "406 M", "differs"),
    ],
)
def test_what_became_of_the_digits_is_told(exact: int, printed: str, kind: str) -> None:
    assert difference(exact, printed).kind == kind


def test_the_share_is_of_the_printed_number() -> None:
    assert difference(1_100_000, "1 M").share == pytest.approx(0.1)
    assert difference(900_000, "1 M").share == pytest.approx(-0.1)


@pytest.mark.parametrize("text", ["4.53", "4.53G", "x M", "", "4.5 m"])
def test_what_is_no_number_and_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number with a unit"):
        difference(1, text)


# What a row of a newer family takes from its base: parameters and MACs.
ROWS = {
    "mobilenetv3_large_100/relu": (0, 0),
    "edgenext_xx_small/no_position": (64 * 48 + 48, 32**2 * 64 * 48),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_a_newer_family_counts_what_it_leaves_out(name: str) -> None:
    counted, base = count(name, training=True), count(entry(name).base, training=True)
    left_out = base.params - counted.params, base.macs - counted.macs
    assert left_out == ROWS[name]


def test_without_equal_branches_a_network_is_trained_as_it_ships() -> None:
    one = count("mobileone_s0/one_branch", training=True)
    shipped, base = count("mobileone_s0"), count("mobileone_s0", training=True)
    assert shipped.params < one.params < 1.05 * shipped.params  # 1x1 branches, identities, norms
    assert base.params > 2 * one.params
