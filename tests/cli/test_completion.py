"""A shell completes commands, options and names, and imports no torch for it."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from archbench.cli.completion import SHELLS, VARIABLE
from archbench.cli.main import archbench
from archbench.models import published_names
from tests.cli.conftest import Run

COMPLETING = """\
import sys
from archbench.cli.main import main
try:
    main()
finally:
    sys.stderr.write(str("torch" in sys.modules))
"""


def _completed(line: str, folder: Path) -> list[str]:
    """What bash would offer behind a line, whose last word is being typed."""
    words = line.split(" ")
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", COMPLETING],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **asked},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "False")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("archbench spa", ["plain,space"]),
        ("archbench search --samp", ["plain,--sampler"]),
        ("archbench search levit", ["plain,levit_edge"]),
        ("archbench profile mobilenetv3_small_05", ["plain,mobilenetv3_small_050"]),
        ("archbench report mi", ["plain,mine"]),
        ("archbench search quickstart --backend onnx", ["plain,onnxruntime"]),
        ("archbench search my_spa", ["file,my_spa"]),
        ("archbench serach qui", []),
    ],
)
def test_names_are_completed(line: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "results" / "mine").mkdir(parents=True)
    (tmp_path / "results" / "mine" / "study.db").touch()
    assert _completed(line, tmp_path) == offered


def test_every_published_network_is_completed(run: Run) -> None:
    command = archbench.get_command(click.Context(archbench), "profile")
    assert command is not None
    with command.make_context("profile", [""], resilient_parsing=True) as ctx:
        (networks,) = (param for param in command.params if param.name == "networks")
        offered = {item.value for item in networks.shell_complete(ctx, "")}
    assert offered == set(published_names())


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str, run: Run) -> None:
    ended = run("completion", shell)
    assert ended.code == 0
    assert VARIABLE in ended.out
