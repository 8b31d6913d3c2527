"""Another process that holds something until it is killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def holding(program: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of a program that takes what lies at a path, prints ``held`` and waits for input.

    It is killed at the end.
    """
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()
