"""A search in a process of its own, which a test can kill, interrupt and listen to.

Run as ``python -m tests.search.owner_process SPACE RESULTS OPTIONS``; prints an event a line.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from archbench.errors import ArchbenchError
from archbench.search import events, search
from archbench.search.machines import Machines
from archbench.space import SearchSpace


class Owner:
    """A running search.

    Args:
        space: The space file.
        results: Folder of the studies.
        options: Further arguments of ``search``.
    """

    def __init__(self, space: Path, results: Path, **options: Any) -> None:
        command = [sys.executable, "-m", "tests.search.owner_process"]
        self.process = subprocess.Popen(
            [*command, str(space), str(results), json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.events: list[str] = []

    def wait_for(self, name: str, *, times: int = 1) -> None:
        """Until an event of this name was heard so often; fails if the search ends before."""
        heard = 0
        assert self.process.stdout is not None
        while heard < times:
            line = self.process.stdout.readline()
            assert line, f"ended early: {self.end()}"
            self.events.append(line.strip())
            heard += line.split()[:1] == [name]  # a library may print an empty line

    def workers(self) -> list[int]:
        """Process ids of its children."""
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in tasks.read_text().split()]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Exit code and what was said on stderr, after the search has ended."""
        out, err = self.process.communicate(timeout=300)
        self.events += out.splitlines()
        return self.process.returncode, err


def assert_gone(*pids: int) -> None:
    """Waits a little until processes have ended that nobody is left to ask after."""
    until = time.monotonic() + 5
    while any(map(_is_there, pids)):
        assert time.monotonic() < until, "an orphan lives"
        time.sleep(0.01)


def _is_there(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status  # an orphan that has ended, whom nobody asked after


def _show(happened: events.Event) -> None:
    number = getattr(happened, "number", getattr(getattr(happened, "record", None), "number", ""))
    print(type(happened).__name__, number, getattr(happened, "text", ""), flush=True)


def _main(space: str, results: str, options: str) -> int:
    given = json.loads(options)
    given["machines"] = Machines(**given.get("machines", {}))
    try:
        search(SearchSpace.load(space), results=Path(results), on_event=_show, **given)
    except ArchbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
