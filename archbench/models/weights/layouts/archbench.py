"""Our own layout: the names of ``Network.state_dict()``."""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place

TITLE = "archbench's"
DIALECTS = ("archbench",)
MARKS = (r"^stages\.\d+\.(embed|blocks|position|class_token)\b", r"^head\.classifiers\.0\.")
EMBEDS = None
BLOCKS = None
FIELDS: dict[str, tuple[object, ...]] = {}
LEAVES: dict[str, str] = {}
WRAPPER = ""
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """Every name is itself."""
    yield Place("", "")
