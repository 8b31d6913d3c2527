"""What precision products have, found by what survives them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from archbench.measure.precision import honest, kept_bits, precision_name
from archbench.study.measurement import Conditions


def rounded(bits: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A product whose factors keep so many bits, as TF32 and bf16 units do."""

    def product(rows: Tensor, weight: Tensor) -> Tensor:
        return (torch.round(rows * 2**bits) / 2**bits) @ weight.t()

    return product


@pytest.mark.parametrize("bits", [7, 10, 16, 23])
def test_counts_the_bits_that_survive(bits: int) -> None:
    assert kept_bits(rounded(bits)) == bits


def test_bf16_keeps_seven_and_fp16_ten() -> None:
    assert kept_bits(lambda rows, weight: (rows.bfloat16() @ weight.bfloat16().t()).float()) == 7
    assert kept_bits(lambda rows, weight: (rows.half() @ weight.half().t()).float()) == 10


def test_products_are_named_by_their_bits() -> None:
    assert [precision_name(bits) for bits in (23, 16, 10, 7)] == ["fp32", "tf32", "tf32", "bf16"]


def test_fp32_on_this_cpu_is_fp32() -> None:
    assert torch.get_float32_matmul_precision() == "highest"
    assert honest(Conditions()).precision == "fp32"


def test_lower_precisions_are_what_they_say() -> None:
    assert honest(Conditions(precision="bf16")).precision == "bf16"
