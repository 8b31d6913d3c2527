"""Write the recorded copies again: ``python -m tests.golden.renew``."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in tests/conftest.py

import optuna

from tests.golden import test_networks, test_proposals, test_recorded_study
from tests.golden.recorded import DATA, kept_at


def main() -> None:
    """Replace all files of ``tests/golden/data``, and the recorded study's report."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    golden = {**test_networks.GOLDEN, **test_proposals.GOLDEN, **test_recorded_study.GOLDEN}
    texts = {name: text() for name, text in golden.items()}
    DATA.mkdir(exist_ok=True)
    for file in DATA.iterdir():
        file.unlink()
    for name, text in texts.items():
        kept_at(name).write_bytes(text.encode())
    print(f"{len(texts)} files written")


if __name__ == "__main__":
    main()
