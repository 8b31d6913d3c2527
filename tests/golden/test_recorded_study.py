"""What is written and printed of the recorded study, ``results/quickstart-recorded``."""

import hashlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable
from contextlib import chdir
from functools import cache, partial
from pathlib import Path

import pandas as pd
import pytest

from archbench import open_study
from tests.golden import ROOT, WRITTEN, kept
from tests.golden.transcript import run

_STUDY = "quickstart-recorded"
_TABLES = ("trials", "front", "curves", "measurements")
_LONG = ("spec", "samples", "details")
"""Columns of tables of which a digest is recorded instead."""
_PICKS = {
    "knee": ("--knee",),
    "latency": ("--latency", "0.6"),
    "params": ("--params", "40k", "--sure", "60"),
    "macs": ("--macs", "1.6M", "--latency", "1"),
    "accuracy": ("--accuracy", "76", "--sure", "60"),
    "unsure": ("--accuracy", "76"),
    "refused": ("--latency", "0.1"),
}
_COMMANDS = {
    "report": ("report", _STUDY),
    "report_json": ("report", _STUDY, "--json"),
    "insight": ("insight", _STUDY),
    "insight_json": ("insight", _STUDY, "--json"),
    **{f"pick_{name}": ("pick", _STUDY, *options) for name, options in _PICKS.items()},
    "pick_latency_json": ("pick", _STUDY, *_PICKS["latency"], "--json"),
    "pick_refused_json": ("pick", _STUDY, *_PICKS["refused"], "--json"),
}


@cache
def _found() -> dict[str, bytes]:
    """File name to content: the report, the tables and what the commands print."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        shutil.copytree(
            ROOT / "results" / _STUDY,
            Path("results") / _STUDY,
            ignore=shutil.ignore_patterns("report"),
        )
        texts = {f"{name}.txt": _printed(*command) for name, command in _COMMANDS.items()}
        written = {
            file.name: file.read_bytes() for file in Path("results", _STUDY, "report").iterdir()
        }
        tables = open_study(Path("results") / _STUDY).tables()
        texts |= {f"{name}_table.csv": _csv(table) for name, table in tables.items()}
    return written | {name: text.encode() for name, text in texts.items()}


def _printed(*arguments: str) -> str:
    """The command, its exit code, and what it wrote to stdout and to stderr."""
    code, out, err = run(arguments)
    return f"$ archbench {shlex.join(arguments)}\n{out}-- stderr, exit code {code}\n{err}"


def _csv(table: pd.DataFrame) -> str:
    long = {name: table[name].map(_digest) for name in _LONG if name in table}
    return table.assign(**long).to_csv(index=False, lineterminator="\n")


def _digest(value: object) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()[:16]


def _text(name: str) -> str:
    return _found()[name].decode()


def _readme() -> str:
    """The README with what the recorded study prints."""
    printed = _text("report.txt").partition("\n")[2].partition("\n\nwritten:")[0]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pattern = re.compile(r"(?<=\n```\n)Take trial .*?(?=\n```\n)", re.DOTALL)
    found, count = pattern.subn(lambda _: printed, text)
    assert count == 1
    return found


_NAMES = (
    *WRITTEN,
    *(f"{name}_table.csv" for name in _TABLES),
    *(f"{name}.txt" for name in _COMMANDS),
)
GOLDEN: dict[str, Callable[[], str]] = {
    "README.md": _readme,
    **{name: partial(_text, name) for name in _NAMES},
}


@pytest.mark.parametrize("name", GOLDEN)
def test_recorded_study_is_told_as_before(name: str) -> None:
    assert GOLDEN[name]().split("\n") == kept(name)


def test_nothing_else_is_written_but_the_plot_as_pixels() -> None:
    assert set(_found()) - set(GOLDEN) == {"pareto.png"}
    assert _found()["pareto.png"].startswith(b"\x89PNG\r\n")
