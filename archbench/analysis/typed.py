"""How does a person name the space of a study or certificate on the command line?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def space_typed(header: Mapping[str, Any]) -> str:
    """The space as the command that began it names it; its name where none is kept.

    A name serves for spaces that come along only, others are files.

    >>> space_typed({"command": "archbench search results/mine/space.yaml --name mine"})
    'results/mine/space.yaml'
    """
    try:
        words = shlex.split(str(header.get("command") or ""))
    except ValueError:
        words = []
    is_named = len(words) > 2 and words[0] == "archbench" and not words[2].startswith("-")
    return words[2] if is_named else str(header.get("space_name") or "SPACE")
