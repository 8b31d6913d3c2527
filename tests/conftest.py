"""One thread a test and the same examples in every run."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch when a test first imports it

settings.register_profile("archbench", derandomize=True, deadline=None, database=None)
settings.load_profile("archbench")


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Undo what an earlier test set; torch is not imported for those that do without."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
