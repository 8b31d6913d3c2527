"""How many multiply-accumulates does an einsum take, exactly and in the order torch contracts."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

# Index name to size, the indices of size 1 left out: they broadcast and cost nothing.
Operand = dict[str, int]


def einsum_macs(
    equation: str, shapes: Sequence[Sequence[int]], *, path: Sequence[int] | None = None
) -> int:
    """The multiply-accumulates of the contractions, operand pair by operand pair.

    A pair that sums over nothing is an elementwise or outer product and costs nothing, like any
    multiplication of two tensors. An index that only one operand has is summed before the
    product, as torch does.

    Args:
        equation: As torch takes it: ``...`` and an implicit output are allowed.
        shapes: One shape for each operand.
        path: Positions of the pairs in the order they are contracted, flat, as torch records it;
            from left to right where there is none.
    """
    written, output = _written(equation)
    operands = [_operand(text, shape) for text, shape in zip(written, shapes, strict=True)]
    kept = _kept(output, operands) if output is not None else _implicit(written, operands)
    pairs = list(zip(path[::2], path[1::2], strict=True)) if path else None
    macs = 0
    while len(operands) > 1:
        first, second = pairs.pop(0) if pairs else (0, 1)
        right, left = operands.pop(max(first, second)), operands.pop(min(first, second))
        rest = kept.union(*operands)
        macs += _pair_macs(left, right, rest=rest)
        joined = {name: size for name, size in (left | right).items() if name in rest}
        # A given path appends the result; from left to right the result is the next left factor.
        operands.insert(len(operands) if path else 0, joined)
    return macs


def _written(equation: str) -> tuple[list[str], str | None]:
    """The operands' indices and the output's, None where the equation leaves it out."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    return left.split(","), output if arrow else None


def _operand(text: str, shape: Sequence[int]) -> Operand:
    before, dots, after = text.partition("...")
    hidden = len(shape) - len(before) - len(after) if dots else 0
    # Dimensions under the dots align from the right: "0" is the last.
    names = [*before, *(str(hidden - 1 - i) for i in range(hidden)), *after]
    return {name: size for name, size in zip(names, shape, strict=True) if size > 1}


def _kept(output: str, operands: Sequence[Operand]) -> set[str]:
    dots = {name for operand in operands for name in operand if name.isdigit()}
    return (dots if "..." in output else set()) | set(output.replace("...", ""))


def _implicit(written: Sequence[str], operands: Sequence[Operand]) -> set[str]:
    """Without an arrow the output has the dots and every index that is written once."""
    letters = "".join(written).replace(".", "")
    once = {letter for letter in letters if letters.count(letter) == 1}
    return once | {name for operand in operands for name in operand if name.isdigit()}


def _pair_macs(left: Operand, right: Operand, *, rest: set[str]) -> int:
    summed = (left.keys() & right.keys()) - rest
    if not summed:
        return 0
    return prod(size for name, size in (left | right).items() if name in rest or name in summed)
