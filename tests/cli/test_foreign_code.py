"""Code of others inside a command: it neither writes to our stdout nor ends the process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import argparse, os, sys
from torch import nn
asked = argparse.ArgumentParser().parse_args()
os.system("echo imported")
class Talks(nn.Conv2d):
    def __init__(self):
        print("built")
        super().__init__(3, 4, 3)
    def forward(self, images):
        print("forward")
        os.write(1, b"below\\n")
        return super().forward(images)
class Leaves(nn.Module):
    def forward(self, images):
        sys.exit(5)
"""


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "nets.py").write_text(CODE)
    return subprocess.run(
        [sys.executable, "-c", "from archbench.cli.main import main; main()", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_network_that_prints_leaves_the_document_whole(tmp_path: Path) -> None:
    done = run(tmp_path, "profile", "module:nets:Talks", "--no-latency", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["models"][0]["params"] == 112
    assert {"imported", "built", "forward", "below"} <= set(done.stderr.split("\n"))


def test_help_and_results_still_go_to_stdout(tmp_path: Path) -> None:
    done = run(tmp_path, "weights", "show", "--help")
    assert "Usage: archbench weights show" in done.stdout
    done = run(tmp_path, "models", "levit_128s")
    assert "levit_128s" in done.stdout


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_network_that_leaves_is_recorded(options: tuple[str, ...], tmp_path: Path) -> None:
    done = run(tmp_path, "profile", "module:nets:Leaves", "--no-latency", *options)
    assert done.returncode == 0, done.stderr
    assert "sys.exit(5)" in done.stdout
