"""A number that was measured, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number with its unit.

    Attributes:
        unit: For example ``bytes``.
        value: None where it could not be had.
        reason: Why there is no value; empty where there is one.
    """

    unit: str
    value: float | None = None
    reason: str = ""
