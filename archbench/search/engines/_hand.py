"""A worker on another machine: it holds the files of its job, and nothing that lasts."""

import hashlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from archbench.cache_folder import cache_folder
from archbench.errors import MissingError
from archbench.search.engines import local
from archbench.search.engines._packing import PackedJob
from archbench.search.machines import worker_memory_bytes
from archbench.search.scheduler import Report
from archbench.study.atomic_file import write_atomically, writing_alone
from archbench.study.environment import Environment, capture, usable_cores

_SOFTWARE = ("archbench", "torch", "torchvision", "numpy")
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A report, and the files of the job that are new since the one before, by their sha256."""

    report: Report
    files: Mapping[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)


class Hand:
    """Runs one job at a time in a process of its own, and holds it up until it is answered.

    ``fetch`` gets the content of a file from the owner, of which a machine fetches each once.
    """

    def __init__(self, *, threads: int, cores: float, fetch: Callable[[Any], bytes]) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="archbench-"))
        self._fetch = fetch
        share = min(1.0, max(cores, threads) / usable_cores())
        self._engine = local.make(
            workers=1,
            threads=threads,
            memory_bytes=worker_memory_bytes(share),
            logs=self._home,
            is_on_target=False,
            is_pinned=False,
        )
        self._heard: deque[Report] = deque()
        self._paths: dict[tuple[str, str], Path] = {}
        self._known: dict[tuple[str, str], object] = {}

    def start(
        self,
        job: PackedJob,
        *,
        files: Mapping[tuple[str, str], bytes],
        cached: Mapping[str, Any],
        owner: Environment,
        timeout_s: float,
    ) -> Heard:
        """Starts a job with the content of its files, and gives what it reports first.

        Raises:
            MissingError: The software here is another than the owner's.
        """
        refuse_other_software(capture(), owner=owner)
        for name, content in cached.items():
            self._keep(cache_folder() / name, content)
        for path in self._paths.values():
            shutil.rmtree(path.parent, ignore_errors=True)
        self._paths = {file: self._home.joinpath(*file) for file in job.files}
        for path in self._paths.values():
            path.parent.mkdir(exist_ok=True)
        for file, told in files.items():
            self._home.joinpath(*file).write_bytes(told)
        self._known = {file: _state(path) for file, path in self._paths.items()}
        self._engine.start(replace(job, home=self._home), timeout_s=timeout_s)
        return self.next()

    def answer(self, number: int, content: Any) -> Heard:
        """Answers the job, which goes on, and gives what it reports next."""
        self._engine.answer(number, content)
        return self.next()

    def next(self) -> Heard:
        """What the job reports next."""
        while not self._heard:
            self._heard += self._engine.poll(_LOOK_EVERY_S)
        changed: dict[tuple[str, str], tuple[str, bytes]] = {}
        for file, path in self._paths.items():
            if (state := _state(path)) not in (None, self._known[file]):
                self._known[file], content = state, path.read_bytes()
                changed[file] = hashlib.sha256(content).hexdigest(), content
        return Heard(report=self._heard.popleft(), files=changed)

    def _keep(self, path: Path, content: Any) -> None:
        """Puts a file into the cache, unless another worker of this machine has."""
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_alone(path, doing="fetches the same file"):
            if not path.exists():
                write_atomically(path, self._fetch(content))


def refuse_other_software(here: Environment, *, owner: Environment) -> None:
    """Nothing, where what trains and times is of the owner's versions.

    Raises:
        MissingError: It is not; each difference is named.
    """
    wanted, found = owner.packages, here.packages
    if differing := [name for name in _SOFTWARE if wanted.get(name) != found.get(name)]:
        told = "; ".join(
            f"{name} is {found.get(name, 'missing')} and the owner's {wanted.get(name, 'missing')}"
            for name in differing
        )
        raise MissingError(
            f"this machine has other software than the owner of the study: {told}",
            place=os.uname().nodename,
            help="install the owner's versions there, or take the machine out of the cluster",
        )


def _state(path: Path) -> object:
    """What differs once a file was written again; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
