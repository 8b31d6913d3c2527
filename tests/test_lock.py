"""Who waits for another process is told for which one, and only where the wait lasts."""

import fcntl
import itertools
import os
from pathlib import Path

import pytest

from archbench.lock import locked
from tests.holding import holding

# holds the lock and has not signed it
STRANGER = """
import fcntl, sys
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this kernel lists no locks")
def test_a_wait_that_lasts_is_told_once_with_the_process_that_holds_the_lock(
    tmp_path: Path,
) -> None:
    told: list[tuple[str, int, int]] = []
    path, seconds = tmp_path / "lock", itertools.count()
    with holding(STRANGER, path) as process:

        def clock() -> float:
            if told:
                process.kill()
            return float(next(seconds))

        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
        with locked(path, doing="cooks", on_progress=lambda *now: told.append(now), clock=clock):
            pass
    assert told == [(f"waiting for process {process.pid} ({name}), which cooks", 0, 0)]
    assert path.read_text() == str(os.getpid())


def test_a_short_wait_is_not_told(tmp_path: Path) -> None:
    told: list[str] = []
    path, looks = tmp_path / "lock", itertools.count()
    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def clock() -> float:
            if next(looks) == 2:
                fcntl.flock(other, fcntl.LOCK_UN)
            return 0.0

        with locked(
            path, doing="cooks", on_progress=lambda what, *_: told.append(what), clock=clock
        ):
            pass
    assert told == []


def test_who_is_out_of_patience_learns_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        locked(path, doing="cooks"),
        pytest.raises(TimeoutError, match=f"process {os.getpid()}"),
        locked(path, doing="cooks", patience_s=0.0),
    ):
        pass
