"""Write a man page for each command: ``python docs/man.py ~/.local/share/man/man1``."""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path

import click
from click_man.core import write_man_pages

import archbench as package
from archbench.cli.main import archbench


def main(folder: Path) -> None:
    """Write ``archbench.1``, ``archbench-search.1`` and so on into a folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    context = click.Context(archbench)
    for name in archbench.list_commands(context):
        command = archbench.get_command(context, name)
        assert command is not None
        archbench.add_command(command, name)
        for one in (command, *getattr(command, "commands", {}).values()):
            one.short_help = " ".join(cleandoc(one.help).partition("\n\n")[0].split())
    write_man_pages("archbench", archbench, version=package.__version__, target_dir=str(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
