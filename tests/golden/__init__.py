"""Results of the public interface, compared with recorded copies to the byte.

``python -m tests.golden.renew`` writes the copies again, after a change that is meant to alter
them.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DATA = Path(__file__).parent / "data"
REPORT = ROOT / "results" / "quickstart-recorded" / "report"
WRITTEN = ("report.html", "pareto.svg", "front.csv", "front.md")
"""What lies in the recorded study itself, and so needs no second copy."""


def kept_at(name: str) -> Path:
    """Where the recorded copy of a text lies."""
    if name == "README.md":
        return ROOT / name
    return (REPORT if name in WRITTEN else DATA) / name


def kept(name: str) -> list[str]:
    """The lines of the recorded copy, to the byte."""
    return kept_at(name).read_bytes().decode().split("\n")
