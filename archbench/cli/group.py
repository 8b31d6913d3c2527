"""Groups of commands that are more than a list."""

from __future__ import annotations

import click


class ListByDefault(click.Group):
    """A group that lists when its first argument names none of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with ``list`` put in front where no command is named."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)
