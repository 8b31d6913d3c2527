"""Compare text with its recorded copy."""

from __future__ import annotations

import shlex
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.golden.transcript import run

ROOT = Path(__file__).parent.parent.parent
DATA = Path(__file__).parent / "data"
REPORT = ROOT / "results" / "quickstart-recorded" / "report"
WRITTEN = ("report.html", "pareto.svg", "front.csv", "front.md")
"""What lies in the recorded study itself, and so needs no second copy."""
_MOST_SHOWN, _WIDTH = 5, 240


def kept_at(name: str) -> Path:
    """Where the recorded copy of a text lies."""
    return (REPORT if name in WRITTEN else DATA) / name


def check(name: str, text: str) -> None:
    """Fail, with the first lines that differ, unless the recorded copy is exactly this text."""
    path = kept_at(name)
    kept = path.read_bytes().decode()
    if text == kept:
        return
    differing = [
        f"line {number}\n  recorded: {_shown(old, new)}\n  now:      {_shown(new, old)}"
        for number, (old, new) in enumerate(zip_longest(kept.split("\n"), text.split("\n")), 1)
        if old != new
    ]
    pytest.fail(
        "\n".join(
            [
                f"{path.relative_to(ROOT)}: {len(differing)} lines differ",
                *differing[:_MOST_SHOWN],
                "if a change of the code or another release of a library is meant to alter them:",
                "python -m tests.golden.renew",
            ]
        ),
        pytrace=False,
    )


def printed(*arguments: str) -> str:
    """The command, its exit code, and what it wrote to stdout and to stderr."""
    code, out, err = run(arguments)
    return f"$ archbench {shlex.join(arguments)}\n{out}-- stderr, exit code {code}\n{err}"


def _shown(line: str | None, other: str | None) -> str:
    """A line from a little before the first sign that differs, or that there is none."""
    if line is None:
        return "(no such line)"
    pairs = zip_longest(line, other or "")
    first = next((place for place, (one, two) in enumerate(pairs) if one != two), 0)
    begin = max(0, first - _WIDTH // 4)
    return ("…" if begin else "") + line[begin : begin + _WIDTH]
