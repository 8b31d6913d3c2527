"""Do the programs of examples/ run, with budgets that end soon?"""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SOON = (
    "--trials=1",
    "--set=objectives={accuracy: max, macs: min}",
    "--set=search.confirm=false",
    "--set=search.workers=1",
)
RUNS = {
    "optuna_sampler.py": ((), "of 40 beams are Pareto-optimal"),
    "own_block.py": ((*SOON, "--set=proxy.rungs=[2]"), "with the block"),
    "own_photos.py": ((*SOON, "--set=proxy.rungs=[4]", "--epochs=2"), "after 2 epochs: "),
}


def test_each_example_is_run() -> None:
    assert sorted(RUNS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", sorted(RUNS))
def test_example_runs(name: str, tmp_path: Path) -> None:
    options, told = RUNS[name]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
