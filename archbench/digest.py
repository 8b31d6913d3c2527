"""Which hash identifies a document, in whatever order it was written, or a file?"""

import hashlib
import json
from pathlib import Path


def sha256_of(document: object) -> str:
    """The sha256 of a JSON document, whatever the order of its keys: 64 hexadecimal digits.

    >>> sha256_of({"a": 1, "b": 2}) == sha256_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The sha256 of what a file holds: 64 hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
