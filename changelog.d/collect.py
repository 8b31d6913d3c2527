"""Move the fragments of this folder into CHANGELOG.md: ``python changelog.d/collect.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import archbench

HERE = Path(__file__).parent
KINDS = ("added", "changed", "fixed", "removed")
INTRODUCTION = "# Changelog\n\nWhat users can see of each version, newest first.\n"


def fragments(folder: Path) -> dict[str, list[Path]]:
    """Kind to the files ``TOPIC.KIND.md`` of a folder, by topic.

    Raises:
        ValueError: A file has another name.
    """
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("*.md")):
        if path.name == "README.md":
            continue
        _, _, kind = path.stem.rpartition(".")
        if kind not in found:
            raise ValueError(f"{path}: the name is not TOPIC.KIND.md, KIND one of {KINDS}")
        found[kind].append(path)
    return found


def collected(text: str, news: Mapping[str, Sequence[str]], *, version: str, day: str) -> str:
    """A changelog with news under a version, which is made if it is not the newest already.

    Args:
        text: The changelog as it is; may be empty.
        news: Kind to the texts of its fragments.
        version: Where they belong.
        day: When that version is made, if it is new.
    """
    introduction, *versions = re.split(r"^(?=## )", text or INTRODUCTION, flags=re.MULTILINE)
    if not versions or not versions[0].startswith(f"## {version} "):
        versions.insert(0, f"## {version} ({day})\n")
    heading, *kinds = re.split(r"^### (\w+)\n", versions[0], flags=re.MULTILINE)
    entries = dict(zip(map(str.lower, kinds[::2]), kinds[1::2], strict=True))
    parts = [heading.strip()]
    for kind in KINDS:
        listed = "\n".join([entries.get(kind, "").strip(), *map(_entry, news.get(kind, ()))])
        if listed.strip():
            parts.append(f"### {kind.capitalize()}\n\n{listed.strip()}")
    versions[0] = "\n\n".join(parts) + "\n"
    return "\n".join(part.strip() + "\n" for part in (introduction, *versions))


def _entry(fragment: str) -> str:
    """A fragment as an entry; one that begins with a dash already is one, or several."""
    text = fragment.strip()
    return text if text.startswith("- ") else "- " + text.replace("\n", "\n  ")


def main() -> None:
    """Write CHANGELOG.md, then take the fragments away."""
    changelog = HERE.parent / "CHANGELOG.md"
    found = fragments(HERE)
    text = collected(
        changelog.read_text(encoding="utf-8") if changelog.exists() else "",
        {kind: [path.read_text(encoding="utf-8") for path in found[kind]] for kind in KINDS},
        version=archbench.__version__,
        day=datetime.now(UTC).date().isoformat(),
    )
    changelog.write_text(text, encoding="utf-8")
    for paths in found.values():
        for path in paths:
            path.unlink()


if __name__ == "__main__":
    main()
