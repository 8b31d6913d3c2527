"""How is something named on a machine where the files and the cache of this one are not?

Only what a worker sends and takes goes through here. Nothing heavy is imported: who hands it on
does not look into it.
"""

import hashlib
import io
import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archbench.cache_folder import cache_folder
from archbench.search.scheduler import HoldOthers, LetOthersGo, Place, Question, Send

Name = tuple[str, ...]
"""A file by the key of its folder and its name; or one of the cache by its path, or a text, as it
is called there, and as the owner calls it."""


@dataclass(frozen=True, kw_only=True)
class PackedPayload:
    """Something that a job hands over, pickled where it runs."""

    content: bytes


@dataclass(frozen=True, kw_only=True)
class PackedQuestion(PackedPayload, Question):
    """The same of a question."""


@dataclass(frozen=True, kw_only=True)
class PackedJob:
    """A job that was pickled by its owner, and runs with its files in a folder ``home``."""

    number: int
    place: Place
    content: bytes
    files: tuple[tuple[str, str], ...]  # that it names: keys of folders, and names
    home: Path = Path()

    def run(self, send: Send) -> bytes:
        """Runs the job; what it hands over and gives is packed.

        Others are not held up: where candidates are timed nothing else runs.
        """
        there = NodeNames(home=self.home)

        def sent(payload: Any) -> Any:
            if isinstance(payload, HoldOthers | LetOthersGo):
                return None
            kind = PackedQuestion if isinstance(payload, Question) else PackedPayload
            return send(kind(content=pack(payload, names=there)))

        return pack(unpack(self.content, names=there).run(sent), names=there)


class Names(ABC):
    """What is named otherwise on the other side."""

    @abstractmethod
    def name_of(self, thing: Any) -> Name | None:
        """The name of a thing on its way; None for what is pickled as it is."""

    @abstractmethod
    def named(self, name: Name) -> Any:
        """What such a name means here."""


@dataclass(frozen=True, kw_only=True)
class NodeNames(Names):
    """Those where a job runs: its files lie in folders of one, called by their keys."""

    home: Path
    own: dict[str, str] = field(default_factory=dict)  # texts of here to those of the owner

    def name_of(self, thing: Any) -> Name | None:
        if isinstance(thing, Path) and thing.parent.parent == self.home:
            return "file", thing.parent.name, thing.name
        return ("text", self.own[thing]) if isinstance(thing, str) and thing in self.own else None

    def named(self, name: Name) -> Any:
        kind, there, last = name
        if kind == "file":
            return self.home / there / last
        text = str(cache_folder() / there) if kind == "cache" else there
        self.own[text] = last
        return text


@dataclass(frozen=True, kw_only=True)
class OwnerNames(Names):
    """Those of the owner: every file that a job names, and texts that mean something here alone."""

    texts: Mapping[str, Name] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    files: list[tuple[str, str]] = field(default_factory=list)

    def name_of(self, thing: Any) -> Name | None:
        if isinstance(thing, Path):
            key = hashlib.sha256(str(thing.parent).encode()).hexdigest()[:16]
            self.folders[key] = thing.parent
            self.files.append((key, thing.name))
            return "file", key, thing.name
        return self.texts.get(thing) if isinstance(thing, str) else None

    def named(self, name: Name) -> Any:
        """See ``Names``; files lie in folders that the job has named, or there is a KeyError."""
        return self.folders[name[1]] / Path(name[2]).name if name[0] == "file" else name[1]


def pack(thing: Any, *, names: Names) -> bytes:
    """The thing pickled, with names for what lies elsewhere on the other side."""
    file = io.BytesIO()
    _Packer(file, names).dump(thing)
    return file.getvalue()


def unpack(content: bytes, *, names: Names) -> Any:
    """What was packed on the other side."""
    return _Unpacker(io.BytesIO(content), names).load()


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, names: Names) -> None:
        super().__init__(file)
        self._names = names

    def persistent_id(self, thing: Any) -> bytes | None:
        name = self._names.name_of(thing)
        return json.dumps(name).encode() if name else None  # bytes: a text would be asked after


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, names: Names) -> None:
        super().__init__(file)
        self._names = names

    def persistent_load(self, name: bytes) -> Any:
        return self._names.named(tuple(json.loads(name)))
