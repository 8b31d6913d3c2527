"""Where is kept what takes long to make: prepared images, teachers, weights, constants?"""

import os
from collections.abc import Mapping
from pathlib import Path

from archbench.errors import StorageError


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's cache folder: ARCHBENCH_CACHE, else XDG_CACHE_HOME or ~/.cache, archbench in it.

    Raises:
        StorageError: No variable says where, and there is no home.
    """
    shared = Path(environment.get("XDG_CACHE_HOME", ""))
    try:
        if named := environment.get("ARCHBENCH_CACHE"):
            return Path(named).expanduser()
        if shared.is_absolute():  # as the XDG specification asks
            return shared / "archbench"
        return Path.home() / ".cache" / "archbench"
    except RuntimeError as error:
        raise StorageError(
            "there is no home folder to keep prepared images in",
            help="set ARCHBENCH_CACHE to a folder that can be written",
        ) from error
