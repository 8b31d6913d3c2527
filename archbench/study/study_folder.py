"""What lies in a study's folder, which appears whole or not at all and has one owner."""

import fcntl
import json
import math
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from archbench.command_line import command_line, named_in_results
from archbench.errors import StorageError, UsageError, wrong_type
from archbench.lock import holder
from archbench.study.atomic_file import (
    require_own,
    storage_failures,
    sync_folder,
    write_atomically,
)

DATABASE = "study.db"
SPACE = "space.yaml"
ENVIRONMENT = "environment.json"
BLOCKS = "blocks.json"
CHECKPOINTS = "checkpoints"
REPORT = "report"
WHERE = "where"
RETRAINED = "retrained"
LOCK = "owner.lock"
WHERE_SCHEMA = "archbench.where/1"

_FOLDERS = (CHECKPOINTS, REPORT, WHERE, RETRAINED)
_NUMBERS = (
    "ms", "macs", "operators", "weight_bytes", "activation_bytes", "gflops", "roof_share",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def path_of(path: str | Path, *, place: str) -> Path:
    """The path of a folder or a file, also where it is given as text.

    Raises:
        UsageError: It is something else.
    """
    if not isinstance(path, str | os.PathLike) or path == "":
        raise wrong_type(path, place=place, allowed="a path, as text or as a pathlib.Path")
    return Path(path)


def study_path(results: str | Path, name: str) -> Path:
    """Where the study of a name lies, or would, in the folder of results.

    Raises:
        UsageError: The folder is no path, or the name is empty, longer than 64 characters, begins
            with a dot or a dash, or has a character that is not a letter of a to z, a digit, a dot,
            a dash or an underscore.
    """
    folder = path_of(results, place="results")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a study",
            place="--name",
            help="use up to 64 letters, digits, dots, dashes and underscores, "
            "beginning with a letter or a digit",
        )
    return folder / name


def create_folder(
    results: Path,
    name: str,
    *,
    fill: Callable[[Path], None],
    refuse: Callable[[Path], None] | None = None,
) -> Path:
    """A new study folder that ``fill`` has written into; it appears whole or not at all.

    ``refuse`` raises where something lies at a path, by default as ``refuse_existing``.

    Raises:
        StorageError: A study of this name exists, or the results folder cannot be written.
    """
    path, refuse = study_path(results, name), refuse or refuse_existing
    refuse(path)
    fresh = results / f".{name}.{os.getpid()}.new"
    with storage_failures(results):
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            with _nothing_stored(path):
                for folder in (CHECKPOINTS, REPORT):
                    (fresh / folder).mkdir(parents=True)
                fill(fresh)
            try:
                fresh.rename(path)
            except OSError:
                refuse(path)  # another process was faster
                raise
            sync_folder(results)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return path


def refuse_existing(path: Path) -> None:
    """Nothing, when there is no study at this path.

    Raises:
        StorageError: There is one; the help holds the commands to resume it or to name another.
    """
    if path.exists():
        raise StorageError(
            f"a study named {path.name} exists already",
            place=str(path),
            help=f"go on with it: {resume_command(path)}; or begin another: "
            + command_line("archbench", "search", "SPACE", "--name", _free_name(path)),
        )


def require_writable(results: Path) -> None:
    """Makes the folder of the studies, if it is not there, and sees that it can be written.

    Raises:
        StorageError: It cannot.
    """
    with storage_failures(results):
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".archbench-", dir=results):
            pass


def studies_in(results: Path) -> list[Path]:
    """The folders of all studies in a folder, certificates and ablations too, by name.

    What is being made or removed has a name that begins with a dot, and is none.
    """
    return sorted(file.parent for file in results.glob(f"[!.]*/{DATABASE}"))


def own_folder(study: Path, name: str) -> Path:
    """A folder in that of a study, which is made where it is missing.

    Raises:
        StorageError: It cannot be made, or is a link to elsewhere.
    """
    path = study / name
    require_own(path)
    with storage_failures(path):
        path.mkdir(exist_ok=True)
    return path


def tidy(path: Path) -> None:
    """Makes the checkpoints' folder where it is missing, and removes what a kill left unfinished.

    A report is not the owner's: what is being written of one at this moment stays.
    """
    with storage_failures(path):
        for folder in (path, own_folder(path, CHECKPOINTS)):
            for file in folder.glob(".*.partial*"):
                file.unlink(missing_ok=True)


def resume_command(path: Path) -> str:
    """What to type to go on with a study."""
    return command_line("archbench", "search", path / SPACE, *named_in_results(path), "--resume")


def another_from(path: Path) -> str:
    """What to type for another study that takes over what it can of this one."""
    return command_line("archbench", "search", "SPACE", "--from", path, "--name", "NAME")


@contextmanager
def ownership(path: Path) -> Iterator[None]:
    """Holds the study while the block runs; the kernel lets go of it however the process ends.

    The lock file's text is a message for people. It may be stale: only the lock itself counts.
    Without a database there is nothing to hold. What an owner left unfinished is removed.

    Raises:
        StorageError: There is no study here, something in it is a link to elsewhere, or another
            process owns it.
    """
    if not (path / DATABASE).is_file():
        raise StorageError(
            "there is no study here to resume",
            place=str(path),
            help="leave out --resume to begin it, or list the studies: "
            + command_line("ls", path.parent),
        )
    with ExitStack() as held:
        with storage_failures(path):
            _refuse_links(path)
            _lock(path, held=held)
        tidy(path)
        yield


def is_owned(path: Path) -> bool:
    """Whether a process works on the study now, as far as this system tells."""
    return bool(holder(path / LOCK))


def where_path(study: Path, trial: int) -> Path:
    """The file in which is kept where the time of a trial's network goes."""
    return study / WHERE / f"trial-{trial}.json"


def write_where(study: Path, trial: int, document: Mapping[str, Any]) -> Path:
    """Keeps a document of the schema ``archbench.where/1`` with one network beside the study.

    Raises:
        StorageError: It cannot be written.
    """
    path = where_path(study, trial)
    own_folder(study, WHERE)
    write_atomically(path, json.dumps(document, indent=1, allow_nan=False).encode())
    return path


def read_where(study: Path, trial: int, *, digest: str) -> dict[str, Any] | None:
    """The network of a trial as it was kept; None where nothing is.

    Raises:
        StorageError: The file is no such document, or one of another network.
    """
    path = where_path(study, trial)
    require_own(path)
    try:
        document = json.loads(path.read_text())
        if document["schema"] != WHERE_SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}, not {WHERE_SCHEMA!r}")
        (found,) = document["networks"]
        if found["digest"] != digest:
            raise ValueError("it is of another network")
        numbers = [found["whole_ms"], found["between_ms"]]
        for part in found["parts"]:
            numbers += [part[key] for key in _NUMBERS]
            if not all(isinstance(part[key], str) for key in ("place", "kind", "bound_by")):
                raise ValueError("a part has no name")
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError("a value is not a number")
        return dict(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise StorageError(
            f"it does not say where time goes: {error}",
            place=str(path),
            help="remove it, and run archbench profile STUDY:TRIAL --where again",
        ) from error


def retrained_path(study: Path, name: str, trial: int, *, seed: int) -> Path:
    """The folder of a full training of a trial, by the name of its retraining."""
    return study / RETRAINED / name / f"trial-{trial}-seed-{seed}"


@contextmanager
def _nothing_stored(path: Path) -> Iterator[None]:
    """Lets a failure to make a study say of the study that nothing is stored of it yet."""
    try:
        with storage_failures(path):
            yield
    except StorageError as error:
        raise StorageError(
            error.message,
            place=str(path),
            help="nothing of this study is stored yet; see that the folder has space and lets you "
            "write, then type the same command again",
        ) from error


def _free_name(path: Path) -> str:
    number = 2
    while path.with_name(f"{path.name[:60]}-{number}").exists():
        number += 1
    return f"{path.name[:60]}-{number}"


def _refuse_links(study: Path) -> None:
    """Nothing, when all that lies in a study's folder is its own."""
    for folder in (study, *(study / name for name in _FOLDERS)):
        for path in folder.iterdir() if folder.is_dir() else ():
            is_in_place = folder == study and (path.name == LOCK or path.name.startswith(DATABASE))
            require_own(path, is_written=is_in_place)


def _lock(path: Path, *, held: ExitStack) -> None:
    """Locks the folder and the lock file in it, and signs that.

    The file alone would not do: where somebody removes it, a second owner locks another one. The
    folder alone would not do either: some file systems, as of networks, lock no folders.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    held.callback(os.close, folder)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _second_owner(path) from None
    except OSError:
        pass  # the file has to do
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    is_held = False
    while not is_held:
        handle = os.open(path / LOCK, flags, 0o644)
        held.callback(os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _second_owner(path) from None
        with suppress(FileNotFoundError):  # removed since it was opened: lock that which is there
            is_held = os.path.samestat(os.fstat(handle), os.stat(path / LOCK))
    _sign(handle)


def _sign(handle: int) -> None:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    message = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(message).encode() + b"\n", 0)
    os.fsync(handle)


def _second_owner(path: Path) -> StorageError:
    try:
        message = json.loads((path / LOCK).read_bytes())
        owner = f"process {message['pid']} on {message['host']} since {message['since']}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        owner = "a process that left no name"
    return StorageError(
        f"the study is owned by {owner}",
        place=str(path),
        help="wait until it ends, or stop it with Ctrl-C there; two owners would spoil the study",
    )
