"""Rewrite the golden files of the commands: ``python -m tests.golden.renew_commands [NAME]...``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.golden.stories import STORIES
from tests.golden.transcript import play


def renew(names: list[str]) -> None:
    """Rewrites the files of the stories whose name begins so; of all by default."""
    for story in STORIES:
        if names and not story.name.startswith(tuple(names)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            text = play(story, Path(folder))
        story.file.parent.mkdir(parents=True, exist_ok=True)
        story.file.write_text(text, encoding="utf-8")
        print(story.name)


if __name__ == "__main__":
    renew(sys.argv[1:])
