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
RUNG = "--set=proxy.rungs=[2]"
RUNS = {
    "optuna_sampler.py": ((), "of 40 beams are Pareto-optimal"),
    "own_block.py": ((*SOON, RUNG), "with the block"),
    "own_embed.py": ((), "MACs; the built network agrees: True"),
    "own_objects.py": ((*SOON, RUNG), "1 trials on module:archbench.data.given:"),
    "own_parts.py": ((*SOON[:1], *SOON[2:], RUNG), "1 trials; the front is in "),
    "own_photos.py": ((*SOON, "--set=proxy.rungs=[4]", "--epochs=2"), "after 2 epochs: "),
}


def test_each_example_is_run() -> None:
    assert sorted(RUNS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


LONG = {"own_parts.py"}  # it times networks, on a target that it makes


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in sorted(RUNS)]
)
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
