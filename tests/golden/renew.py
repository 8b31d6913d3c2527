"""Write the recorded copies again: ``python -m tests.golden.renew [STORY]...``.

Without a name, all of ``tests/golden/data`` and the recorded study's report; with names, the
transcripts of the stories that begin so, such as ``search`` or ``help/``.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in tests/conftest.py

import optuna

from tests.golden import DATA, kept_at, test_networks, test_proposals, test_recorded_study
from tests.golden.stories import STORIES
from tests.golden.transcript import play


def main(names: tuple[str, ...]) -> None:
    """Replace the files, and print which."""
    if not names:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        golden = {**test_networks.GOLDEN, **test_proposals.GOLDEN, **test_recorded_study.GOLDEN}
        texts = {name: text() for name, text in golden.items()}
        DATA.mkdir(exist_ok=True)
        for file in DATA.iterdir():
            file.unlink()
        for name, text in texts.items():
            kept_at(name).write_bytes(text.encode())
        print(f"{len(texts)} files written")
    for story in STORIES:
        if names and story.name.startswith(names):
            with tempfile.TemporaryDirectory() as folder:
                text = play(story, Path(folder))
            story.file.parent.mkdir(parents=True, exist_ok=True)
            story.file.write_text(text, encoding="utf-8")
            print(story.name)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
