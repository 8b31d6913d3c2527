"""Einsum's multiply-accumulates, by hand and against the products torch really makes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from archbench.measure.einsum import einsum_macs

SIZES = {"a": 2, "b": 3, "c": 5, "d": 1, "e": 4}


def torch_macs(equation: str, shapes: list[tuple[int, ...]], path: list[int] | None = None) -> int:
    operands = [torch.zeros(shape) for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        torch._VF.einsum(equation, operands, path=path)
    return counter.get_total_flops() // 2


def test_counts_attention_to_the_unit() -> None:
    query, key = (2, 3, 197, 64), (2, 3, 50, 64)
    assert einsum_macs("bhlk,bhtk->bhlt", [query, key]) == 2 * 3 * 197 * 50 * 64


def test_elementwise_and_outer_products_cost_nothing() -> None:
    assert einsum_macs("ij,ij->ij", [(3, 4), (3, 4)]) == 0
    assert einsum_macs("i,j->ij", [(3,), (4,)]) == 0
    assert einsum_macs("ij->i", [(3, 4)]) == 0


def test_sums_an_index_of_one_operand_before_the_product() -> None:
    assert einsum_macs("ij,kj->i", [(3, 4), (5, 4)]) == 12


def test_implicit_output_keeps_what_is_written_once() -> None:
    assert einsum_macs("bij, bjk", [(2, 3, 4), (2, 4, 5)]) == torch_macs(
        "bij,bjk", [(2, 3, 4), (2, 4, 5)]
    )


@pytest.mark.parametrize("path", [None, [0, 1, 0, 1, 0, 1], [2, 3, 1, 2, 0, 1]])
def test_follows_the_path_of_the_contraction(path: list[int] | None) -> None:
    equation, shapes = "ij,jk,kl,lm->im", [(2, 3), (3, 5), (5, 7), (7, 11)]
    assert einsum_macs(equation, shapes, path=path) == torch_macs(equation, shapes, path)


def test_broadcasts_under_dots() -> None:
    equation, shapes = "...ij,...jk->...ik", [(2, 1, 3, 4), (6, 4, 5)]
    assert einsum_macs(equation, shapes) == torch_macs(equation, shapes) == 2 * 6 * 3 * 4 * 5


@settings(max_examples=100, deadline=None)
@given(
    left=st.sets(st.sampled_from("abcde"), min_size=1).map(sorted),
    right=st.sets(st.sampled_from("abcde"), min_size=1).map(sorted),
    output=st.sets(st.sampled_from("abcde")).map(sorted),
)
def test_equals_what_torch_multiplies(left: list[str], right: list[str], output: list[str]) -> None:
    kept = [name for name in output if name in left or name in right]
    equation = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    shapes = [tuple(SIZES[name] for name in names) for names in (left, right)]
    assert einsum_macs(equation, shapes) == torch_macs(equation, shapes)
