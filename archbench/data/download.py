"""How does a published data set get from its home to the user's disk, wholly or not at all?"""

from __future__ import annotations

import contextlib
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from archbench.data.source import Request
from archbench.errors import MissingError


def fetch(dataset: Callable[[str], object], *, root: Path, folder: str, request: Request) -> None:
    """Has torchvision download a data set and moves it to its place when all of it is there.

    torchvision checks the archive's MD5, but takes a half unpacked folder for a whole one; so it
    works in a folder of its own.

    Args:
        dataset: Downloads into the folder that it is given.
        root: Where the data set's folder shall lie; made if it is not there.
        folder: What torchvision calls the data set's folder.
        request: Told that it has begun.

    Raises:
        MissingError: It could not be fetched or kept; nothing is left behind.
    """
    request.progress(f"downloading {folder}", 0, 1)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
                dataset(temporary)
            (Path(temporary) / folder).replace(root / folder)
    except (OSError, EOFError, RuntimeError, HTTPException, tarfile.TarError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        raise MissingError(
            f"{folder} could not be downloaded ({error})",
            place=str(root),
            help="look to the network and the disk, or fetch the archive by hand and unpack it "
            "there",
        ) from error
    request.progress(f"downloading {folder}", 1, 1)


def home(request: Request, *, folders: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Where a data set's folder lies, and what it may be called there.

    The path behind the colon is that of the place, or that of the folder itself.

    Args:
        request: What is asked.
        folders: What its archives unpack to.

    Raises:
        UsageError: The name has no path.
    """
    path = request.path(what=f"the folder that {folders[0]}/ lies in")
    return (path.parent, [path.name]) if path.name in folders else (path, folders)
