"""Which pages has the manual, and what stands on that of all commands? A hook of MkDocs.

Pages lie on the site as in the repository, so a relative link leads to the same place in both.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

COMMANDS = "<!-- every command -->"
FOLDERS = ("", "docs/", "changelog.d/", "results/", "benchmarks/", "benchmarks/*/")
LINK = re.compile(r"!?\[([^\]]*)\]\((?!\w+:)([^)#\s]+)[^)]*\)")


def pages(root: Path) -> list[str]:
    """The pages of the site, by their paths in the repository."""
    found = (path for folder in FOLDERS for path in root.glob(f"{folder}*.md"))
    return sorted(path.relative_to(root).as_posix() for path in found if "." not in path.stem)


def linked(root: Path, page: str) -> Iterator[tuple[re.Match[str], Path]]:
    """The relative links of a page, each with the file or folder that it leads to."""
    for link in LINK.finditer((root / page).read_text(encoding="utf-8")):
        yield link, (root / page).parent.joinpath(link[2]).resolve()


def on_files(files: Any, config: Any) -> Any:
    """Replace the files of ``docs_dir`` by the pages and by the files that they link to."""
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    targets = {there for page in pages(root) for _, there in linked(root, page)}
    others = {there.relative_to(root).as_posix() for there in targets if there.is_file()}
    for name in sorted({*pages(root), *others}):
        files.append(File.generated(config, name, abs_src_path=str(root / name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Write out every command, and a link to a folder, which no site can show, as its words."""
    for link, there in linked(Path(config.config_file_path).parent, page.file.src_uri):
        if there.is_dir():
            markdown = markdown.replace(link[0], link[1])
    return markdown.replace(COMMANDS, "\n".join(every_command()))


def every_command() -> Iterator[str]:
    """A heading, the words and a table of options for each command, in Markdown."""
    from archbench.cli.main import archbench

    root = click.Context(archbench, info_name="archbench", **archbench.context_settings)
    for name in archbench.list_commands(root):
        command = archbench.get_command(root, name)
        assert command is not None
        yield from _one_command(name, command, root)


def _one_command(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    records = filter(None, (option.get_help_record(context) for option in options))
    yield f"{'###' if parent.parent else '##'} {context.command_path}\n"
    yield f"```text\n{context.command_path} {usage}\n```\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    yield "| option | meaning |\n|---|---|"
    yield from (f"| `{typed}` | {words} |" for typed, words in records)
    yield ""
    for inner in getattr(command, "commands", {}).items():
        yield from _one_command(*inner, context)
