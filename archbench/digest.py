"""Which hash identifies a document, wherever and in whatever order it was written?"""

import hashlib
import json


def sha256_of(document: object) -> str:
    """The sha256 of a JSON document, whatever the order of its keys: 64 hexadecimal digits.

    >>> sha256_of({"a": 1, "b": 2}) == sha256_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
