"""A command that archbench prints runs as it stands, whatever blanks its paths have."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "archbench"
STUDY = Path("my results/toy")


def _resumed_search() -> str:
    from archbench.study.study_folder import resume_command

    return resume_command(STUDY)


def _confirmed() -> str:
    from archbench.search.confirmation import confirm_command

    return confirm_command(STUDY)


def _resumed_certificate() -> str:
    from archbench.study.planned import resume_planned

    return resume_planned(STUDY, kind="certificate")


def _resumed_ablation() -> str:
    from archbench.study.planned import resume_planned

    return resume_planned(STUDY, kind="ablation")


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (
            _resumed_search,
            "search|my results/toy/space.yaml|--name|toy|--results|my results|--resume",
        ),
        (_confirmed, "confirm|my results/toy"),
        (_resumed_certificate, "certify|--name|toy|--results|my results|--resume"),
        (_resumed_ablation, "ablate|--name|toy|--results|my results|--resume"),
    ],
)
def test_a_command_to_go_on_keeps_a_path_with_blanks_whole(
    printed: Callable[[], str], words: str
) -> None:
    assert shlex.split(printed()) == ["archbench", *words.split("|")]


def _by_hand(source: str) -> list[int]:
    """The lines that quote, or put a value behind the name of a command in an f-string."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
            pattern, text = r"\b(archbench [a-z]+|ls|open) [^\0;,:`()]*\0", "".join(map(str, parts))
        else:
            pattern, text = r"shlex\.(quote|join)|'(ls|open) '", ast.unparse(node)
            if not isinstance(node, ast.Attribute | ast.Constant):
                continue
        if re.search(pattern, text):
            found.append(node.lineno)
    return found


def test_only_command_line_puts_commands_together() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "command_line.py"
        for line in _by_hand(path.read_text())
    ]
    assert not wrong, f"commands put together without command_line: {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('f"see: archbench report {path}"', [1]),
        ('f"see: archbench "\\\nf"search {a} --name {b}"', [1]),
        ("shlex.quote(name)", [1]),
        ('"see: " + "ls " + path', [1]),
        ('f"begin it: archbench search SPACE; there is none in {path}"', []),
        ('f"archbench {version}"', []),
        ('f"go on with: {command_line(path)}"', []),
    ],
)
def test_a_command_put_together_by_hand_is_seen(source: str, lines: list[int]) -> None:
    assert _by_hand(source) == lines
