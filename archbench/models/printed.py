"""How far is an exact count from what a paper prints of it?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

_SCALES = {"k": 3, "M": 6, "G": 9, "T": 12}
_FORM = re.compile(r"([0-9]+)(?:\.([0-9]+))? ([kMGT])")

Kind = Literal["rounded", "cut off", "differs"]


@dataclass(frozen=True)
class Difference:
    """An exact count against a printed one.

    Attributes:
        share: By how much the exact count is larger, as a share of the printed one.
        kind: ``rounded`` where the printed digits are those of the exact count, ``cut off`` where
            they are so without the last one being rounded up, else ``differs``.
    """

    share: float
    kind: Kind


def difference(exact: int, printed: str) -> Difference:
    """The exact count against what is printed.

    >>> difference(86_567_656, "86 M").kind
    'cut off'

    Raises:
        ValueError: The text is no number and unit such as ``4.53 G``.
    """
    form = _FORM.fullmatch(printed)
    if form is None:
        raise ValueError(f"{printed!r} is no number and unit such as 4.53 G")
    whole, decimals, scale = form.groups(default="")
    value = Decimal(f"{whole}.{decimals}").scaleb(_SCALES[scale])
    last_digit = Decimal(1).scaleb(_SCALES[scale] - len(decimals))
    over = Decimal(exact) - value
    kind: Kind = "differs"
    if abs(over) <= last_digit / 2:
        kind = "rounded"
    elif 0 <= over < last_digit:
        kind = "cut off"
    return Difference(share=float(over / value), kind=kind)
