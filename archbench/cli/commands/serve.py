"""``archbench serve``: the page of a study that renews itself while the search runs."""

from pathlib import Path

import click

from archbench.cli import console, names, option
from archbench.errors import UsageError

SCHEMA = "archbench.serve/1"


@click.command()
@click.argument("study")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of this machine; 0 is any free."
)
@click.option(
    "--every",
    type=click.IntRange(1, 3600),
    default=5,
    metavar="SECONDS",
    help="How often it looks.",
)
@option.RESULTS
@option.JSON
def command(study: str, port: int, every: int, results: Path) -> None:
    """Serve the page of STUDY to a browser on this machine, until Ctrl-C.

    The page renews itself while the search runs. It is read-only, and only
    who has its address, which holds a token, can read it. From another
    machine: ssh -L PORT:127.0.0.1:PORT HOST.
    """
    from archbench.analysis.study import open_study
    from archbench.report.server import LivePage, PageServer

    path = open_study(names.study_path(study, results=results)).path
    try:
        server = PageServer(LivePage(path, renewed_s=every), port=port)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be had ({error.strerror})", place="--port", help="leave it out"
        ) from error
    with server:
        if console.is_json():
            console.document({"schema": SCHEMA, "study": path.name, "address": server.address})
        else:
            console.result(server.address)
            console.note("serving until Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            if not console.is_json():
                console.note("\nno longer served")
