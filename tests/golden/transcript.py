"""What commands print, as one text a story: run through the entry point, measured parts masked."""

import io
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "commands"

Rules = Sequence[tuple[str, str]]
"""Patterns and what takes their place, in order."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """Commands that are run one after the other in one folder.

    Attributes:
        commands: What follows ``archbench``, as typed in a shell; ``ls FOLDER`` lists its files.
        values: What is measured in JSON, by patterns of whole paths such as ``models.*.ms``; what
            begins with ``?`` has no known type, what begins with ``-`` may not be there.
    """

    name: str  # of the golden file, without its suffix
    commands: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)  # texts that lie in the folder, by name
    prepare: Callable[[Path], None] | None = None  # makes what else lies in the folder
    masks: Rules = ()  # what is measured in the text
    values: tuple[str, ...] = ()
    is_slow: bool = False  # whether it takes more than some seconds

    @property
    def file(self) -> Path:
        """Where its golden transcript lies."""
        return GOLDEN / f"{self.name}.txt"


def play(story: Story, folder: Path) -> str:
    """The transcript of a story that is run in an empty folder."""
    for name, text in story.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if story.prepare:
        story.prepare(folder)
    with _place(folder):
        return "\n".join(_part(story, command) for command in story.commands)


@contextmanager
def _place(folder: Path) -> Iterator[None]:
    """The folder as the current one, 80 columns, and a cache of its own."""
    wanted = {"COLUMNS": "80", "TERM": "dumb", "ARCHBENCH_CACHE": str(folder / "cache")}
    before, here = dict(os.environ), Path.cwd()
    os.chdir(folder)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def _part(story: Story, command: str) -> str:
    words = shlex.split(command)
    if words[0] == "ls":
        found = sorted(str(path) for path in Path(words[1]).rglob("*") if path.is_file())
        return f"$ {command}\n" + "".join(f"{name}\n" for name in found)
    code, out, err = run(words)
    if "--json" in words and out:
        out = _masked_json(out, story)
    elif story.masks:
        out = masked(out, story.masks)
    if story.masks:
        err = masked(err, story.masks, is_log=True)
    parts = [f"$ archbench {command}\n[exit {code}]\n"]
    parts += [f"[{stream}]\n{text}" for stream, text in (("out", out), ("err", err)) if text]
    return "".join(parts)


def run(words: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``archbench`` with these words."""
    from archbench.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as ended:
            code = ended.code
    return code or 0, out.getvalue(), err.getvalue()


def masked(text: str, rules: Rules, *, is_log: bool = False) -> str:
    """The text with what the rules find replaced; only paragraphs with such a part are refilled.

    A measured number has no known width: where one was replaced, the lines of a table lose their
    alignment, and other paragraphs their breaks. In a log each line stands for itself: only those
    that were folded are joined, and of those that differ in what is measured alone, one is kept.
    """
    parts = re.split(r"(\n{2,})", text.rstrip("\n"))
    found = "".join(
        part if not part.strip() else _paragraph(part, rules, is_log=is_log) for part in parts
    )
    return re.sub(r"\n{3,}", "\n\n", found) + "\n" * text.endswith("\n")


def _paragraph(text: str, rules: Rules, *, is_log: bool) -> str:
    unfolded = re.sub(r"\n {2,}(?=\S)", " ", text)
    lines = unfolded.split("\n")
    if not is_log and not any("  " in line for line in lines):  # no table, no list of facts
        lines = [" ".join(lines)]
    lines = [re.sub(r"(?<=\S) {2,}", "  ", line) for line in lines]
    if not any(re.search(pattern, line) for pattern, _ in rules for line in lines):
        return text
    found: list[str] = []
    for line in lines:
        shown = _replaced(line, rules)
        is_repeated = is_log and shown != line and shown in found
        if shown.strip() and not is_repeated:
            found.append(re.sub(r"-{2,}", "--", shown))
    return "\n".join(found)


def _replaced(text: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def _masked_json(text: str, story: Story) -> str:
    document = json.loads(text)
    shown = _masked_value(document, (), story)
    return json.dumps(shown, indent=1, ensure_ascii=False) + "\n"


def _masked_value(value: Any, path: tuple[str, ...], story: Story) -> Any:
    """The value with what is measured in it replaced by its type; None where it is left out."""
    name = ".".join(path)
    for pattern in story.values:
        if re.fullmatch(pattern.lstrip("?-"), name):
            return {"?": "<any>", "-": None}.get(pattern[0], _type(value))
    if isinstance(value, dict):
        found = {key: _masked_value(entry, (*path, key), story) for key, entry in value.items()}
        left_out = {key for key in found if found[key] is None and value[key] is not None}
        return {key: entry for key, entry in found.items() if key not in left_out}
    if isinstance(value, list):
        return [
            _masked_value(entry, (*path, str(place)), story) for place, entry in enumerate(value)
        ]
    if isinstance(value, float) and story.values:
        return float(f"{value:.6g}")  # what arithmetic in another order still agrees on
    return _replaced(value, story.masks) if isinstance(value, str) else value


def _type(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _type(entry) for key, entry in value.items()}
    if isinstance(value, list):
        kinds = sorted({json.dumps(_type(entry)) for entry in value})
        return [json.loads(kind) for kind in kinds]
    return f"<{'number' if type(value) in (int, float) else type(value).__name__}>"
