"""``archbench completion``: the script by which a shell completes commands, options and names."""

import click

from archbench.cli import console, option
from archbench.cli.completion import SHELLS, script


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@option.JSON_ALONE
def command(shell: str) -> None:
    """Print the script by which SHELL completes commands, options and names.

    Names of networks, spaces and studies are completed, too. In every new shell:

    bash: add  eval "$(archbench completion bash)"  to ~/.bashrc

    zsh: add  eval "$(archbench completion zsh)"  to ~/.zshrc

    fish: archbench completion fish > ~/.config/fish/completions/archbench.fish
    """
    from archbench.report.element import Code
    from archbench.report.finding import Finding

    text = script(click.get_current_context().find_root().command, shell)
    document = {"schema": "archbench.completion/1", "shell": shell, "script": text}
    console.tell(Finding(document, [Code(text.rstrip("\n"))]))
