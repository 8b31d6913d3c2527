"""A command that archbench prints runs as it stands, whatever blanks its paths have."""

import ast
import re
import shlex
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "archbench"
STUDY = Path("my results/toy")


def test_a_command_to_go_on_keeps_a_path_with_blanks_whole() -> None:
    from archbench.search.confirmation import confirm_command
    from archbench.study.planned import resume_planned
    from archbench.study.study_folder import resume_command

    space = "my results/toy/space.yaml"
    named = ["--name", "toy", "--results", "my results", "--resume"]
    assert shlex.split(resume_command(STUDY)) == ["archbench", "search", space, *named]
    assert shlex.split(confirm_command(STUDY)) == ["archbench", "confirm", "my results/toy"]
    certified, ablated = (resume_planned(STUDY, kind=k) for k in ("certificate", "ablation"))
    assert shlex.split(certified) == ["archbench", "certify", *named]
    assert shlex.split(ablated) == ["archbench", "ablate", *named]


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
