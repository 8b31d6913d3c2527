"""What does each choice of a network cost, and what does it buy: one knob turned at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archbench.lazy import exports

if TYPE_CHECKING:
    from archbench.search.ablation.run import ablate as ablate

__all__, __getattr__, __dir__ = exports(__name__)
