"""The command line as a whole: quick to start, complete in its help."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from archbench.cli.main import REGISTRY, archbench, run

HEAVY = (
    "fvcore", "matplotlib", "moocore", "optuna", "pandas", "pyarrow", "rich", "scipy", "sklearn",
    "sqlite3", "timm", "torch", "torchvision", "transformers", "yaml",
)  # fmt: skip


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has imported after running the code."""
    shown = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{shown}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split("\n")[-2].split())


HELP = """
from archbench.cli.main import archbench
archbench.main({arguments!r}, prog_name="archbench", standalone_mode=False)
"""


@pytest.mark.parametrize("command", [None, *REGISTRY.names])
def test_help_imports_nothing_heavy(command: str | None) -> None:
    arguments = [command, "--help"] if command else ["--help"]
    assert modules_after(HELP.format(arguments=arguments)).isdisjoint(HEAVY)


def test_importing_archbench_imports_nothing_heavy() -> None:
    assert modules_after("import archbench").isdisjoint({*HEAVY, "click"})


@pytest.mark.parametrize("command", REGISTRY.names)
def test_every_command_offers_json(command: str) -> None:
    import click

    found = REGISTRY.load(command).command
    leaves = list(found.commands.values()) if isinstance(found, click.Group) else [found]
    for leaf in leaves:
        assert "--json" in [option for parameter in leaf.params for option in parameter.opts]


@pytest.mark.parametrize("words", [(), ("weights",)], ids=["archbench", "archbench weights"])
def test_a_command_without_words_prints_its_help(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(archbench, words) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith(f"Usage: {' '.join(('archbench', *words))} [OPTIONS]")
    assert "\nOptions:\n" in told.out


def test_every_command_stands_in_a_section_of_the_help() -> None:
    output = CliRunner().invoke(archbench, ["--help"]).output
    listed = [line.split()[0] for line in output.splitlines() if line.startswith("  ")]
    assert set(REGISTRY.names) <= set(listed)
    assert "Other:" not in output


def test_the_package_is_the_command_line_too() -> None:
    words = [sys.executable, "-m", "archbench", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "archbench 0.2.0\n"


def test_a_reader_that_left_early_is_no_error() -> None:
    script = Path(sys.executable).with_name("archbench")
    done = subprocess.run(
        ["bash", "-c", f"{script} models --json | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
