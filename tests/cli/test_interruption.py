"""A search that is interrupted at any moment ends by the signal, and says how it goes on."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.search import tiny

_CODE = """
import sys
from archbench.cli.main import main
print("begun", flush=True)
main()
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted")
    images = tiny.write_images(folder / "images")
    return tiny.write_space(folder, f"folder:{images}", trials=500, sampler="gp")


def _check(space: Path, results: Path, *, number: int, after_s: float, resume: bool) -> None:
    """Interrupts a search so long after its begin, and looks at how it ends."""
    options = ["--results", str(results), *(["--resume"] if resume else [])]
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, "search", str(space), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ARCHBENCH_CACHE": str(space.parent / "cache")},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    threading.Event().wait(after_s)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 143), (after_s, said)
    told = said.splitlines()[-1]
    assert "Traceback" not in said, (after_s, said)
    is_stored = (results / "toy" / "study.db").is_file()
    goes_on = ("--resume",) if is_stored else ("starts over", "begin again")
    assert any(words in told for words in goes_on), (after_s, said)


@pytest.mark.parametrize("after_s", [0.2, 2.5])
def test_an_interruption_while_it_starts_is_told_as_one(
    space: Path, tmp_path: Path, after_s: float
) -> None:
    _check(space, tmp_path, number=signal.SIGINT, after_s=after_s, resume=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_an_interruption_at_any_moment_is_told_as_one(
    space: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    for _ in range(5):
        number = rng.choice([signal.SIGINT, signal.SIGTERM])
        resume = (tmp_path / "toy" / "study.db").is_file()
        _check(space, tmp_path, number=number, after_s=rng.uniform(0, 9), resume=resume)
