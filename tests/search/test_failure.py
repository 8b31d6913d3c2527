"""Exceptions become kinds that can be counted."""

from __future__ import annotations

import pytest

from archbench.errors import SpecError
from archbench.search.engines._worker import classify
from archbench.train.loop import NonFiniteLossError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NonFiniteLossError("the loss became nan"), "nan"),
        (SpecError("7 does not divide 256"), "illegal"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("shape '[2]' is invalid for input of size 3"), "error"),
        (AssertionError(), "error"),
        (ValueError("something else\nin two lines"), "error"),
    ],
)
def test_kinds(error: Exception, kind: str) -> None:
    failure = classify(error)
    assert failure.kind == kind
    assert failure.message.startswith(type(error).__name__)
    assert "\n" not in failure.message
