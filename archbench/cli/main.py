"""Which commands are there, and where does ``archbench`` start?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from archbench.cli import ending
from archbench.errors import unknown_name
from archbench.registry import Registry

REGISTRY = Registry("archbench.cli.commands", "command")


class CommandFolder(click.Group):
    """A group whose commands are the files of ``archbench/cli/commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, from the file names."""
        return list(REGISTRY.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; its file is imported now."""
        if cmd_name not in REGISTRY.names:
            return None
        command: click.Command = REGISTRY.load(cmd_name).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the known commands named when there is none of that name.

        Raises:
            UsageError: No command has this name.
        """
        name = args[0]
        if not name.startswith("-") and name not in REGISTRY.names:
            raise unknown_name("command", name, REGISTRY.names, place="archbench")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import archbench as package

        click.echo(f"archbench {package.__version__}")
        ctx.exit()


@click.group(
    cls=CommandFolder,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with:  archbench search quickstart",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and stop.",
)
def archbench() -> None:
    """Which convolution/attention hybrid to ship on this device, for your data.

    Searches spaces of vision networks for the best accuracy within your milliseconds, counts
    exactly, times honestly, and says how sure it is.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Args:
        arguments: What follows ``archbench``; those of this process by default.

    Raises:
        SystemExit: Always; the codes are those of ``archbench.errors``.
    """
    sys.exit(ending.run(archbench, sys.argv[1:] if arguments is None else arguments))
