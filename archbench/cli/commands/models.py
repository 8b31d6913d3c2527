"""``archbench models``: which published networks are known, and how are they written?"""

from __future__ import annotations

import fnmatch
from typing import Any

import click

from archbench.cli import console
from archbench.cli.group import ListByDefault
from archbench.cli.option import json_option

SCHEMA = "archbench.models/1"


@click.group(cls=ListByDefault, subcommand_metavar="[PATTERN] | show NAME")
def command() -> None:
    """Published networks: list them, or show one as YAML.

    Beside each exact count stands what the paper prints.
    """


@command.command("list")
@click.argument("pattern", default="*")
@json_option
def list_(pattern: str, as_json: bool) -> None:
    """Published networks whose name matches PATTERN, as levit* (the default)."""
    from archbench.errors import unknown_name
    from archbench.models import published_names

    known = published_names()
    names = [name for name in known if fnmatch.fnmatch(name, pattern) or pattern in name]
    if not names:
        raise unknown_name("network", pattern, known, place="archbench models")
    if as_json:
        console.document({"schema": SCHEMA, "models": [_document(name) for name in names]})
        return
    console.result(_table(names))
    console.note(
        "\nMACs are multiply-adds, one counted as 1; papers print them as FLOPs. "
        "Top-1: the\npaper's own, in percent of ImageNet-1k's validation images."
    )
    console.next_step(f"archbench models show {names[0]}, or archbench profile {names[0]}")


@command.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """NAME as YAML, in the form that a search space starts from."""
    from archbench.models import count, paper
    from archbench.models.catalogue import published
    from archbench.report.document import to_yaml

    spec = published(name)
    if as_json:
        console.document({"schema": SCHEMA, "models": [_document(name)]})
        return
    printed, exact = paper(name), count(spec)
    console.result(
        f"# {printed.source}\n"
        f"# parameters: {exact.params:,} (paper: {printed.params or 'not printed'})\n"
        f"# MACs: {exact.macs:,} (paper: {printed.flops or 'not printed'})\n"
        + (f"# {printed.note}\n" if printed.note else "")
        + to_yaml(spec.to_document()).rstrip("\n")
    )
    console.next_step(
        f"archbench profile {name}; or keep this as a file, change it and profile the file"
    )


def _table(names: list[str]) -> str:
    from archbench.models import count, paper
    from archbench.models.catalogue import published

    rows = []
    for name in names:
        spec, printed = published(name), paper(name)
        exact = count(spec)
        rows.append(
            (
                name,
                str(spec.resolution.height),
                f"{exact.params:,}",
                printed.params or "",
                f"{exact.macs:,}",
                printed.flops or "",
                "" if printed.top1 is None else f"{printed.top1:.1f}",
            )
        )
    titles = ("network", "px", "parameters", "paper", "MACs", "paper", "top-1")
    return console.table(titles, rows, align="lrrrrrr")


def _document(name: str) -> dict[str, Any]:
    from archbench.models import count, paper
    from archbench.models.catalogue import published

    spec, printed = published(name), paper(name)
    exact = count(spec)
    return {
        "name": name,
        "digest": spec.digest,
        "resolution": list(spec.resolution),
        "num_classes": spec.num_classes,
        "params": exact.params,
        "macs": exact.macs,
        "activations": exact.activations,
        "paper": {
            "params": printed.params,
            "flops": printed.flops,
            "top1": printed.top1,
            "source": printed.source,
            "note": printed.note,
        },
        "spec": spec.to_document(),
    }
