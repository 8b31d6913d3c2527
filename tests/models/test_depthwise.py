"""Depthwise convolutions learn as PyTorch says, and in bf16 with sums in fp32."""

import pytest
import torch
from torch import nn

from archbench.models.depthwise import convolved, has_own_gradient

FORMS = [(5, 1, 8), (5, 1, 7), (5, 1, 4), (7, 1, 8), (5, 2, 8), (5, 2, 7), (4, 1, 8)]


@pytest.mark.parametrize(("kernel", "stride", "width"), FORMS)
def test_gradients_are_those_of_pytorch(kernel: int, stride: int, width: int) -> None:
    conv = nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=6, dtype=torch.float64)
    x = torch.randn(2, 6, 7, width, dtype=torch.float64, requires_grad=True)
    learnt = (x, *conv.parameters())
    ours, plain = convolved(conv, x), conv(x)
    up = torch.randn_like(plain)
    assert has_own_gradient(conv)
    torch.testing.assert_close(ours, plain)
    found = torch.autograd.grad(ours, learnt, up)
    torch.testing.assert_close(found, torch.autograd.grad(plain, learnt, up))


@pytest.mark.parametrize(("kernel", "stride"), [(5, 1), (5, 2), (3, 2)])
def test_weights_learn_from_bf16_in_fp32(kernel: int, stride: int) -> None:
    conv = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8)
    x = torch.randn(16, 8, 12, 12).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = convolved(conv, x)
    up = torch.randn_like(y)
    assert y.dtype == torch.bfloat16
    (found,) = torch.autograd.grad(y, conv.weight, up)
    (expected,) = torch.autograd.grad(conv(x.float()), conv.weight, up.float())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)  # in bf16: 1e-2


def test_evaluation_and_other_convolutions_are_left_to_pytorch() -> None:
    others = (nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 5, groups=2))
    assert not any(map(has_own_gradient, others))
    conv = nn.Conv2d(8, 8, 5, padding=2, groups=8).eval()
    kind = type(conv(torch.ones(1, 8, 6, 6)).grad_fn)
    assert type(convolved(conv, torch.ones(1, 8, 6, 6)).grad_fn) is kind
