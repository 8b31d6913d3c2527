"""One thread a test, the same examples in every run, Ctrl-C as in a terminal."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch when a test first imports it

os.environ.pop("CI", None)  # with which no terminal is drawn in

# A shell has what it runs in the background ignore Ctrl-C, which children would take over.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("archbench", derandomize=True, deadline=None, database=None)
settings.load_profile("archbench")

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Undo what an earlier test set; torch is not imported for those that do without."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
