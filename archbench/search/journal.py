"""What lies in a folder of trainings: the plan, and a line for everything that was learnt since.

``plan.json`` is written once, whole; ``results.jsonl`` grows by a line that is durable before the
next work begins. Both are the truth, and all else in the folder is made from them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archbench.command_line import command_line
from archbench.errors import StorageError
from archbench.study.file import storage_failures, write_atomically
from archbench.study.folder import CHECKPOINTS, REPORT, valid_name

PLAN = "plan.json"
RESULTS = "results.jsonl"

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Journal:
    """Folders of one kind.

    Attributes:
        noun: What lies in one, with its article.
        schema: Of the plan.
        resume_command: What to type to go on with a folder.
    """

    noun: str
    schema: str
    resume_command: Callable[[Path], str]

    def create(self, results: Path, name: str, *, plan: Mapping[str, Any]) -> Path:
        """A new folder with its plan; it appears whole or not at all.

        Raises:
            StorageError: There is one of this name, or it cannot be written.
        """
        path = results / valid_name(name)
        self.refuse_existing(path)
        fresh = results / f".{name}.{os.getpid()}.new"
        with storage_failures(results):
            shutil.rmtree(fresh, ignore_errors=True)
            try:
                for folder in (CHECKPOINTS, REPORT):
                    (fresh / folder).mkdir(parents=True)
                self.write_plan(fresh, plan)
                (fresh / RESULTS).touch()
                fresh.rename(path)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return path

    def refuse_existing(self, path: Path) -> None:
        """Nothing, when nothing lies at this path.

        Raises:
            StorageError: Something does; the help says how to go on with it.
        """
        if path.exists():
            raise StorageError(
                f"{path.name} exists already",
                place=str(path),
                help=f"go on with it: {self.resume_command(path)}; or begin another with another "
                "--name",
            )

    def is_at(self, path: Path) -> bool:
        """Whether one of this kind lies at a path."""
        try:
            plan = json.loads((path / PLAN).read_text())
        except (OSError, ValueError):
            return False
        kind = str(plan.get("schema")).rpartition("/")[0]
        return kind == self.schema.rpartition("/")[0]

    def write_plan(self, path: Path, plan: Mapping[str, Any]) -> None:
        """Give a folder its plan.

        Raises:
            StorageError: It cannot be written.
        """
        document = {"schema": self.schema, **plan}
        write_atomically(path / PLAN, (json.dumps(document, indent=2) + "\n").encode())

    def read_plan(self, path: Path) -> dict[str, Any]:
        """The plan of a folder.

        Raises:
            StorageError: There is none, or it is not as this version writes it.
        """
        try:
            plan: dict[str, Any] = json.loads((path / PLAN).read_text(), object_hook=_numbered)
        except FileNotFoundError as error:
            raise StorageError(
                f"there is no {self.noun} here",
                place=str(path),
                help="begin it without --resume, or list what there is: "
                + command_line("ls", path.parent),
            ) from error
        except (OSError, ValueError) as error:
            raise StorageError(
                f"the plan cannot be read: {error}", place=str(path / PLAN)
            ) from error
        if plan.get("schema") != self.schema:
            raise StorageError(
                f"a plan of the schema {plan.get('schema')}, not {self.schema}",
                place=str(path / PLAN),
                help="begin another with another --name",
            )
        return plan


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Adds a line to what is known, and puts it on the disk.

    Raises:
        StorageError: It cannot be written.
    """
    text = json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"
    with storage_failures(path), (path / RESULTS).open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def mend(path: Path) -> None:
    """Cuts off the end of a line that a kill left unfinished.

    Raises:
        StorageError: It cannot be written.
    """
    with storage_failures(path), (path / RESULTS).open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def read_lines(path: Path) -> list[Line]:
    """Everything that is known, in the order in which it was learnt.

    Raises:
        StorageError: It cannot be read, or a line is no JSON.
    """
    with storage_failures(path):
        whole = (path / RESULTS).read_bytes().rpartition(b"\n")[0]
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise StorageError(
            f"a line is damaged: {error}",
            place=str(path / RESULTS),
            help="delete that line, and what it held is trained again",
        ) from error


def _numbered(document: dict[str, Any]) -> dict[Any, Any]:
    """JSON writes the numbers of layers as text."""
    if document and all(isinstance(key, str) and key.isdecimal() for key in document):
        return {int(key): value for key, value in document.items()}
    return document
