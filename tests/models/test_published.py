"""Every published network against its released code, to the unit."""

from __future__ import annotations

import pytest

from archbench.errors import UsageError
from archbench.models import ablation_names, count, published_names
from archbench.models.catalogue import entry, families, paper, published
from archbench.models.spec import ArchSpec

# No code was released for these; their parameters are those of the paper's table to its last
# digit, and their convolutions are its column less what it counts beyond MACs.
OURS = {
    "graft_1_9": (17_141_776, 4_230_169_600),
    "graft_2_6": (13_136_272, 4_135_649_280),
    "graft_3_3": (15_107_856, 4_497_128_448),
}


@pytest.mark.parametrize("name", [*published_names(), *ablation_names()])
def test_counts_are_those_of_the_released_code(name: str) -> None:
    counted, released = count(name), entry(name).released
    assert released in ((counted.params, counted.macs), None)


def test_only_grafts_and_some_rows_have_no_released_code() -> None:
    assert {name for name in published_names() if entry(name).released is None} == set(OURS)
    known = {name for name in ablation_names() if entry(name).released}
    assert known == {
        *("cvt_13/t7_stride_1", "cvt_13/nas_smallest", "cvt_13/nas_stride_1"),
        *("levit_128s/base", "levit_128s/a1", "levit_128s/a2", "levit_128s/a4"),
    }


@pytest.mark.parametrize("name", OURS)
def test_parameters_and_macs_of_our_reading_stay(name: str) -> None:
    counted = count(name)
    assert (counted.params, counted.macs) == OURS[name]


@pytest.mark.parametrize(
    ("name", "column"), [("graft_1_9", 820), ("graft_2_6", 1876), ("graft_3_3", 3385)]
)
def test_convolutions_of_a_graft_are_a_little_less_than_its_table_prints(
    name: str, column: int
) -> None:
    assert count(name).total.convolution / 1e6 == pytest.approx(column, rel=0.02)


@pytest.mark.parametrize("name", ["graft_1_9", "graft_2_6", "graft_3_3"])
def test_a_graft_joins_at_14_by_14(name: str) -> None:
    assert published(name).resolved().stages[-1].grid == (14, 14)


@pytest.mark.parametrize(
    ("name", "activations"),
    [("levit_128s", 1_875_074), ("cvt_13", 16_981_504), ("deit_tiny", 5_974_636)],
)
def test_activations_are_those_of_the_released_code(name: str, activations: int) -> None:
    assert count(name).activations == activations


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
    printed = paper(name).params
    if printed is None:
        assert paper(name).note
        return
    number = printed.removesuffix(" M")
    # DeiT prints whole millions, and 5 M for 5.7 M.
    last_digit = 0.0 if "." in number else 0.75
    exact = count(name).params / 1e6
    assert float(number) == pytest.approx(exact, rel=0.013, abs=last_digit)


def test_families_are_the_files_of_the_folder() -> None:
    assert tuple(families()) == ("ceit", "cvt", "deit", "graft", "levit", "resnet", "vit_pytorch")


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown network 'levit_129'; did you mean levit_1"):
        count("levit_129")
