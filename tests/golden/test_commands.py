"""Every command prints what it has always printed, to the letter but for what is measured.

``python -m tests.golden.renew STORY`` rewrites a golden file after an intended change.
"""

import shlex
from pathlib import Path

import pytest

from tests.golden import DATA
from tests.golden.stories import STORIES
from tests.golden.transcript import GOLDEN, Story, play, run
from tests.test_docs import parse


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(story, id=story.name, marks=[pytest.mark.slow] if story.is_slow else [])
        for story in STORIES
    ],
)
def test_command_prints_what_it_printed(story: Story, tmp_path: Path) -> None:
    assert play(story, tmp_path).splitlines() == story.file.read_text().splitlines()


def test_every_next_step_is_one_command_that_can_be_typed() -> None:
    lines = {
        line.removeprefix("next: ")
        for file in (*GOLDEN.rglob("*.txt"), *DATA.glob("*.txt"))
        for line in file.read_text().splitlines()
        if line.startswith("next: ")
    }
    assert len(lines) > 20
    for line in lines:
        program, *words = shlex.split(line.partition(" > ")[0])
        assert (program, "archbench" in words) == ("archbench", False), line
        parse(words)


def test_a_next_step_can_be_taken() -> None:
    _, _, told = run(["models", "check", "levit_128s/a1"])
    program, *words = shlex.split(told.rpartition("next: ")[2])
    assert program == "archbench"
    assert run(words)[0] == 0


def test_every_golden_file_has_a_story() -> None:
    assert {story.file for story in STORIES} == set(GOLDEN.rglob("*.txt"))
