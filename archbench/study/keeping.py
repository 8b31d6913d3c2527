"""How are studies kept: named anew, removed, and packed into a file that travels."""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any
from uuid import uuid4

from archbench.command_line import command_line
from archbench.digest import sha256_of_file
from archbench.errors import StorageError
from archbench.study.atomic_file import require_own, storage_failures, sync_folder
from archbench.study.database import Store
from archbench.study.study_folder import DATABASE, LOCK, create_folder, ownership, study_path
from archbench.study.table import is_there

PACKED = "archbench.packed-study/1"
SUFFIX = ".tar.gz"

_MANIFEST = "manifest.json"
_MOST_MANIFEST = 1 << 24  # bytes
_BLOCK = 1 << 20
_UNSOUND = (tarfile.TarError, EOFError, zlib.error, ValueError, LookupError, TypeError)


def size_bytes(path: Path) -> int:
    """What all files below a folder take on the disk; links count nothing."""
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files if not file.is_symlink())


def rename(path: Path, name: str) -> Path:
    """The folder of a study that has another name from now on.

    Raises:
        UsageError: This cannot name a study.
        StorageError: There is no study, a process works on it, or the name is taken.
    """
    target = study_path(path.parent, name)
    with _held(path):
        _refuse_taken(target)
        _give_name(path / DATABASE, name)
        with storage_failures(path):
            path.rename(target)
            sync_folder(target.parent)
    return target


def remove(path: Path) -> None:
    """Removes a study with all that it holds, which is gone at once or there as before.

    Raises:
        StorageError: There is no study, a process works on it, or it cannot be removed.
    """
    gone = path.with_name(f".{path.name}.{uuid4().hex[:8]}.gone")
    with _held(path), storage_failures(path):
        path.rename(gone)
        sync_folder(path.parent)
    with storage_failures(gone):
        shutil.rmtree(gone)


def pack(path: Path, archive: Path) -> Path:
    """Writes a study into a file that ``unpack`` reads on another machine, whole or not at all.

    The first member is a manifest with the size and the SHA-256 of each file. The database is a
    copy from one moment; locks and unfinished files stay behind.

    Raises:
        StorageError: There is no study, a process works on it, a file of this name is there, or it
            cannot be written.
    """
    if archive.exists():
        raise StorageError("there is such a file already", place=str(archive), help="name another")
    partial = archive.with_name(f".{archive.name}.{uuid4().hex[:8]}.partial")
    with _held(path), storage_failures(archive):
        with Store.open(path / DATABASE) as store:
            files = {DATABASE: store.back_up(), **_files(path)}
        listed = [
            {"path": name, "bytes": file.stat().st_size, "sha256": sha256_of_file(file)}
            for name, file in files.items()
        ]
        manifest = {"schema": PACKED, "name": path.resolve().name, "files": listed}
        try:
            with tarfile.open(partial, "x:gz", compresslevel=6) as tar:
                _add(tar, _MANIFEST, json.dumps(manifest, indent=1).encode())
                for name, file in files.items():
                    _add(tar, name, file)
            partial.rename(archive)
        finally:
            partial.unlink(missing_ok=True)
    return archive


def unpack(archive: Path, results: Path, *, name: str | None = None) -> Path:
    """The folder of a study that was packed, which is there whole or not at all.

    Nothing is written but regular files of the manifest, below the folder, and each is of the size
    and the digest that stand there. It has its own name where no other is given.

    Raises:
        UsageError: This cannot name a study.
        StorageError: The file is no packed study, is damaged, or there is a study of this name.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            manifest = _manifest(tar)
            own = name or str(manifest["name"])

            def fill(folder: Path) -> None:
                try:
                    _extract(tar, manifest["files"], folder)
                except gzip.BadGzipFile as error:
                    raise ValueError(str(error)) from error
                _give_name(folder / DATABASE, own)

            return create_folder(results, own, fill=fill, refuse=_refuse_taken)
    except _UNSOUND as error:
        raise _no_pack(archive, str(error)) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError) or not archive.is_file():
            raise StorageError("there is no such file", place=str(archive)) from None
        raise _no_pack(archive, error.strerror or str(error)) from error


def _no_pack(archive: Path, reason: str) -> StorageError:
    return StorageError(
        f"this is no packed study, or a damaged one: {reason}",
        place=str(archive),
        help="pack it again with: archbench studies export STUDY",
    )


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Owns a study for a moment; one that is not there has its own words."""
    if not (path / DATABASE).is_file():
        listed = command_line("archbench", "studies", "--results", path.parent)
        raise StorageError("there is no study here", place=str(path), help=f"see: {listed}")
    require_own(path)
    with ownership(path):
        yield


def _refuse_taken(path: Path) -> None:
    if path.exists():
        raise StorageError(
            "there is a study or a folder of this name already",
            place=str(path),
            help="give another name",
        )


def _give_name(database: Path, name: str) -> None:
    """Writes the name of a study into its header, and into Optuna's tables beside it."""
    with Store.open(database) as store, store.transaction() as connection:
        before = store.header().get("name")
        store.set_header("name", name)
        if is_there(connection, "studies"):
            query = "UPDATE OR IGNORE studies SET study_name = ? WHERE study_name = ?"
            connection.execute(query, (name, before))


def _files(path: Path) -> dict[str, Path]:
    """What of a study travels beside its database, by the path in its folder."""
    found = {}
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        is_own = file.name.startswith((DATABASE, LOCK)) and len(inside.parts) == 1
        if any(part.startswith(".") for part in inside.parts) or is_own:
            continue
        require_own(file)
        if file.is_file():
            found[inside.as_posix()] = file
    return found


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    member = tarfile.TarInfo(name)
    if isinstance(content, bytes):
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        return
    member.size, member.mtime = content.stat().st_size, int(content.stat().st_mtime)
    with content.open("rb") as file:
        tar.addfile(member, file)


def _manifest(tar: tarfile.TarFile) -> dict[str, Any]:
    first = tar.next()
    if first is None or first.name != _MANIFEST or not first.isreg():
        raise ValueError(f"its first member is not {_MANIFEST}")
    if first.size > _MOST_MANIFEST:
        raise ValueError(f"its manifest is larger than {_MOST_MANIFEST:,} bytes")
    found = json.loads(_content(tar, first).read())
    if found["schema"] != PACKED:
        raise ValueError(f"its schema is {found['schema']!r}, not {PACKED!r}")
    files = {entry["path"]: entry for entry in found["files"]}
    if DATABASE not in files or len(files) < len(found["files"]):
        raise ValueError("its manifest lacks the database, or names a file twice")
    for path in files:
        _refuse_path(path)
    return {"name": found["name"], "files": files}


def _refuse_path(path: str) -> None:
    """Refuses what is not a plain path below a folder, on any system."""
    parts = PurePosixPath(path).parts
    is_plain = bool(parts) and str(PurePosixPath(path)) == path and path.isprintable()
    if not is_plain or set(path) & set("\\:") or any(part[0] in "./" for part in parts):
        raise ValueError(f"{path[:80]!r} is no path of a file in a study")


def _extract(tar: tarfile.TarFile, files: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    left = dict(files)
    wanted = sum(int(entry["bytes"]) for entry in files.values())
    if wanted > (free := shutil.disk_usage(folder).free):
        raise ValueError(f"it holds {wanted:,} bytes, and {free:,} are free")
    while (member := tar.next()) is not None:
        entry = left.pop(member.name, None)
        if entry is None or not member.isreg() or member.size != entry["bytes"]:
            raise ValueError(f"its member {member.name[:80]!r} is not as the manifest says")
        target = folder / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if _copy(_content(tar, member), target) != entry["sha256"]:
            raise ValueError(f"the content of {member.name!r} is another than the manifest says")
    if left:
        raise ValueError(f"it lacks {next(iter(left))!r}")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None, "a regular file has a content"
    return content


def _copy(source: IO[bytes], target: Path) -> str:
    """Writes a new file; the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
