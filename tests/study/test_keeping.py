"""Studies are kept: named anew, removed, and packed into a file that cannot do harm."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archbench.errors import ArchbenchError, StorageError
from archbench.study import keeping
from archbench.study.connection import read, read_header
from archbench.study.database import Store
from archbench.study.study_folder import is_owned, ownership, studies_in
from tests.study import example


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "results" / "edge"
    (path / "checkpoints").mkdir(parents=True)
    with Store.create(path / "study.db", example.header()) as store:
        store.add_trial(example.trial(0))
    (path / "checkpoints" / "best.safetensors").write_bytes(b"weights")
    (path / ".torn.partial").write_bytes(b"half")
    return path


def test_a_packed_study_comes_back_as_it_was(study: Path, tmp_path: Path) -> None:
    archive = keeping.pack(study, tmp_path / "edge.tar.gz")
    found = keeping.unpack(archive, tmp_path / "elsewhere")
    assert found == tmp_path / "elsewhere" / "edge"
    assert read(found / "study.db").trials == read(study / "study.db").trials
    assert (found / "checkpoints" / "best.safetensors").read_bytes() == b"weights"
    assert not list(found.glob(".*"))
    with tarfile.open(archive) as tar:
        assert all(member.isreg() for member in tar)
        assert tar.getnames() == ["manifest.json", "study.db", "checkpoints/best.safetensors"]


def test_an_imported_study_may_have_another_name(study: Path, tmp_path: Path) -> None:
    archive = keeping.pack(study, tmp_path / "edge.tar.gz")
    with pytest.raises(StorageError, match="edge: there is a study or a folder of this name"):
        keeping.unpack(archive, study.parent)
    path = keeping.unpack(archive, study.parent, name="copy")
    assert read_header(path / "study.db")["name"] == "copy"
    assert studies_in(study.parent) == [path, study]


def test_a_renamed_study_knows_its_name(study: Path) -> None:
    path = keeping.rename(study, "other")
    assert not study.exists()
    assert read_header(path / "study.db")["name"] == "other"
    with pytest.raises(ArchbenchError, match=r"'\.\./x' cannot name a study"):
        keeping.rename(path, "../x")


def test_a_removed_study_leaves_nothing(study: Path) -> None:
    keeping.remove(study)
    assert list(study.parent.iterdir()) == []


@pytest.mark.parametrize("act", ["rename", "remove", "pack"])
def test_a_study_that_a_process_works_on_is_left_alone(
    act: str, study: Path, tmp_path: Path
) -> None:
    acts: dict[str, Callable[[], Any]] = {
        "rename": lambda: keeping.rename(study, "other"),
        "remove": lambda: keeping.remove(study),
        "pack": lambda: keeping.pack(study, tmp_path / "edge.tar.gz"),
    }
    with ownership(study):
        assert is_owned(study)
        with pytest.raises(StorageError, match=r"process \d+ "):
            acts[act]()
    assert not is_owned(study)
    assert (study / "study.db").is_file()
    assert not (tmp_path / "edge.tar.gz").exists()


@pytest.mark.parametrize("act", [keeping.remove, lambda path: keeping.rename(path, "other")])
def test_a_folder_that_is_no_study_is_left_alone(act: Callable[[Path], Any], study: Path) -> None:
    (study / "study.db").unlink()
    with pytest.raises(StorageError, match="there is no study here; see: archbench studies"):
        act(study)
    assert (study / "checkpoints" / "best.safetensors").is_file()


def test_what_is_a_link_is_not_packed(study: Path, tmp_path: Path) -> None:
    (study / "report").mkdir()
    (study / "report" / "deep").mkdir()
    (study / "report" / "deep" / "x").symlink_to("/etc/passwd")
    with pytest.raises(StorageError, match="it is a link to /etc/passwd"):
        keeping.pack(study, tmp_path / "edge.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


DATA = b"content"
FILES = [("study.db", DATA), ("checkpoints/a", DATA)]


def _archive(path: Path, files: list[tuple[str, bytes]], **changes: Any) -> Path:
    """A packed study by hand; changes are of its manifest, or members in place of its own."""
    listed = [
        {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files
    ]
    manifest = {"schema": keeping.PACKED, "name": "edge", "files": listed}
    members = changes.pop("members", files)
    manifest |= changes
    with tarfile.open(path, "w:gz") as tar:
        for name, data in [("manifest.json", json.dumps(manifest).encode()), *members]:
            member = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            content = b"" if isinstance(data, tarfile.TarInfo) else data
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _link(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("files", "changes", "reason"),
    [
        (FILES, {"schema": "archbench.packed-study/2"}, "its schema is 'archbench.packed-study/2'"),
        (FILES[1:], {}, "its manifest lacks the database"),
        ([*FILES, FILES[0]], {}, "or names a file twice"),
        ([*FILES, ("/etc/x", DATA)], {}, "'/etc/x' is no path of a file in a study"),
        ([*FILES, ("../x", DATA)], {}, "'../x' is no path"),
        ([*FILES, ("a/../../x", DATA)], {}, "is no path"),
        ([*FILES, ("a\\x", DATA)], {}, "is no path"),
        ([*FILES, ("a//x", DATA)], {}, "is no path"),
        ([*FILES, (".x.partial", DATA)], {}, "is no path"),
        (FILES, {"members": FILES[:1]}, "it lacks 'checkpoints/a'"),
        (FILES, {"members": [*FILES, ("b", DATA)]}, "its member 'b' is not as the manifest says"),
        (FILES, {"members": [*FILES, FILES[0]]}, "'study.db' is not as the manifest says"),
        (FILES, {"members": [FILES[0], ("checkpoints/a", b"CONTENT")]}, "'checkpoints/a' is anoth"),
        (FILES, {"members": [FILES[0], ("checkpoints/a", b"more")]}, "is not as the manifest says"),
        (FILES, {"members": [FILES[0], ("", _link("checkpoints/a", tarfile.SYMTYPE))]}, "not as"),
        (FILES, {"members": [FILES[0], ("", _link("checkpoints/a", tarfile.LNKTYPE))]}, "not as"),
        (FILES, {"members": [FILES[0], ("", _link("checkpoints/a", tarfile.FIFOTYPE))]}, "not as"),
    ],
)
def test_an_archive_that_is_not_as_it_says_writes_nothing(
    files: list[tuple[str, bytes]], changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    archive = _archive(tmp_path / "x.tar.gz", files, **changes)
    with pytest.raises(StorageError, match="no packed study, or a damaged one") as caught:
        keeping.unpack(archive, tmp_path / "results")
    assert reason in str(caught.value)
    assert not list((tmp_path / "results").glob("*") if (tmp_path / "results").exists() else [])


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "x.tar.gz", FILES)
    with pytest.raises(StorageError, match="the database is damaged"):
        keeping.unpack(archive, tmp_path / "results")
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("spoil", [lambda b: b[:-40], lambda b: b[:60], lambda b: b"x" + b[1:]])
def test_a_torn_archive_is_refused(
    spoil: Callable[[bytes], bytes], study: Path, tmp_path: Path
) -> None:
    archive = keeping.pack(study, tmp_path / "edge.tar.gz")
    archive.write_bytes(spoil(archive.read_bytes()))
    with pytest.raises(StorageError, match="no packed study, or a damaged one"):
        keeping.unpack(archive, tmp_path / "elsewhere")
    found = tmp_path / "elsewhere"
    assert not found.exists() or list(found.iterdir()) == []


def test_what_is_compressed_and_no_tar_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(gzip.compress(b"x" * 100))
    with pytest.raises(StorageError, match="no packed study"):
        keeping.unpack(archive, tmp_path / "results")
    with pytest.raises(StorageError, match="there is no such file"):
        keeping.unpack(tmp_path / "nope.tar.gz", tmp_path / "results")
