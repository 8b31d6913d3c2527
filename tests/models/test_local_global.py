"""Local-to-global attention: what a token sees, what padding does, what it costs."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.blocks.local_global import LocalGlobalAttention, Spec
from archbench.models.part import Grid, Site

HEADS, WIDTH = 2, 3
DIM = HEADS * WIDTH


def _attention(
    grid: Grid, *, window: int, pool: int, bias: bool = False, class_tokens: int = 0
) -> LocalGlobalAttention:
    torch.manual_seed(0)
    site = Site(grid=grid, incoming_dim=DIM, dim=DIM, bias=bias, class_tokens=class_tokens)
    spec = Spec(num_heads=HEADS, window=window, pool=pool).resolved(site)
    attention = spec.module(site).attention
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.5)
    return attention.double()


@pytest.mark.parametrize(
    ("grid", "window", "pool", "rows", "columns"),
    [
        # A window of at most 4 cuts 5 into 3 + 2 and 9 into 3 + 3 + 3.
        (Grid(5, 9), 4, 3, [3, 2], [3, 3, 3]),
        (Grid(4, 6), 2, 2, [2, 2], [2, 2, 2]),
        (Grid(3, 2), 7, 7, [3], [2]),
        (Grid(7, 1), 3, 4, [3, 3, 1], [1]),
    ],
    ids=str,
)
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("class_tokens", [0, 2])
def test_it_equals_attention_token_by_token(
    grid: Grid,
    window: int,
    pool: int,
    rows: list[int],
    columns: list[int],
    bias: bool,
    class_tokens: int,
) -> None:
    attention = _attention(grid, window=window, pool=pool, bias=bias, class_tokens=class_tokens)
    x = torch.randn(2, class_tokens + grid.tokens, DIM, dtype=torch.float64)
    expected = torch.stack([_by_token(attention, one, grid, rows, columns, pool) for one in x])
    torch.testing.assert_close(attention(x, attention.grid), expected)


def test_a_map_that_one_window_holds_is_not_padded() -> None:
    attention = _attention(Grid(3, 5), window=7, pool=7)
    assert attention.window_bias is None
    assert attention.windows.size == (3, 5)


def test_every_window_holds_a_token_of_the_map() -> None:
    for side, window in itertools.product(range(1, 40), range(1, 12)):
        grid, size, _ = Spec(num_heads=1, window=window).windows(Grid(side, 1))
        assert size.height <= window
        assert (grid.height - 1) * size.height < side <= grid.height * size.height


def test_the_cost_of_attention_grows_with_the_tokens() -> None:
    spec = Spec(num_heads=HEADS)

    def cost(side: int) -> int:
        site = Site(grid=Grid(side, side), incoming_dim=DIM, dim=DIM)
        return spec.resolved(site).count(site).attention

    assert cost(112) == 4 * cost(56) == 16 * cost(28)


def _by_token(
    attention: LocalGlobalAttention,
    x: Tensor,
    grid: Grid,
    rows: list[int],
    columns: list[int],
    pool: int,
) -> Tensor:
    """Attention of one image (T, C), one token and head after the other, without padding."""
    number = len(x) - grid.tokens
    q, k, v = attention.query_key_value(x).chunk(3, dim=-1)
    small = Grid(min(grid.height, pool), min(grid.width, pool))
    pooled = F.adaptive_avg_pool2d(x[number:].T.reshape(1, DIM, *grid), small)[0].flatten(1).T
    pooled_k, pooled_v = attention.pooled_key_value(torch.cat((x[:number], pooled))).chunk(2, -1)
    window_of = [(i, j) for i in _repeated(rows) for j in _repeated(columns)]
    inside = [[j for j, w in enumerate(window_of) if w == here] for here in window_of]
    near = attention.window_bias.near if attention.window_bias is not None else None
    far = attention.pooled_bias.near if attention.pooled_bias is not None else None
    places = list(itertools.product(range(grid.height), range(grid.width)))
    cells = list(itertools.product(range(small.height), range(small.width)))
    y = torch.zeros_like(q)
    for token, head in itertools.product(range(len(x)), range(HEADS)):
        part, place = slice(head * WIDTH, (head + 1) * WIDTH), token - number
        bias = torch.zeros(len(pooled_k), dtype=x.dtype)
        if far is not None and place >= 0:
            cell = tuple(a * n // m for a, n, m in zip(places[place], small, grid, strict=True))
            bias[number:] = _by_distance(far.values[head], cell, cells, small.width)
        y[token, part] = _answer(q[token, part], pooled_k[:, part], pooled_v[:, part], bias)
        if place >= 0:
            others = [places[i] for i in inside[place]]
            bias = torch.zeros(len(others), dtype=x.dtype)
            if near is not None:
                bias = _by_distance(near.values[head], places[place], others, columns[0])
            keys = [number + i for i in inside[place]]
            y[token, part] += _answer(q[token, part], k[keys][:, part], v[keys][:, part], bias)
    return attention.projection(y)


def _repeated(sizes: list[int]) -> list[int]:
    return [number for number, size in enumerate(sizes) for _ in range(size)]


def _by_distance(
    values: Tensor, place: tuple[int, ...], others: list[tuple[int, int]], width: int
) -> Tensor:
    return torch.stack([values[abs(place[0] - y) * width + abs(place[1] - x)] for y, x in others])


def _answer(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return (k @ q / WIDTH**0.5 + bias).softmax(0) @ v
