"""``archbench models``: which published networks are known, and are they as published?"""

import fnmatch
from dataclasses import asdict
from typing import Any

import click

from archbench.cli import console, option
from archbench.command_line import command_line
from archbench.errors import NegativeResultError

SCHEMA = "archbench.models/1"


@click.group(cls=option.ListByDefault, subcommand_metavar="[PATTERN] | show NAME | check [PATTERN]")
def command() -> None:
    """Published networks: list them, show one as YAML, or count all of them again.

    Beside each exact count stands what the paper prints.
    """


@command.command("list")
@click.argument("pattern", default="*")
@click.option("--all", "with_ablations", is_flag=True, help="List the papers' ablations, too.")
@option.JSON
def list_(pattern: str, with_ablations: bool) -> None:
    """Published networks whose name matches PATTERN, as levit* (the default).

    The rows of the papers' ablation tables are named VARIANT/ROW: 'levit_128s/*' lists them.
    """
    from archbench.models.catalogue import families
    from archbench.report.findings import catalogue

    names = _matching(pattern, with_ablations=with_ablations or "/" in pattern)
    document = _document(*names)
    finding = catalogue.listing(
        document,
        titles={
            model["family"]: families()[model["family"]]["title"] for model in document["models"]
        },
        next_step=command_line("archbench", "profile", names[0]),
    )
    console.tell(finding)


@command.command()
@click.argument("pattern", default="*")
@click.option(
    "--full", is_flag=True, help="Let fvcore count large networks, too; takes minutes and 3 GB."
)
@option.JSON
def check(pattern: str, full: bool) -> None:
    """Build each network that matches PATTERN and compare counts with what is published.

    Ends with 1 where a count is not exactly that of the released code.
    """
    from archbench.evaluate.catalogue_check import MOST_MACS, rebuild
    from archbench.report import number
    from archbench.report.findings import catalogue

    names = _matching(pattern, with_ablations=True)
    with console.Meter() as progress:
        found = rebuild(names, most_macs=None if full else MOST_MACS, on_progress=progress)
    left_out = f"being above {number.short(MOST_MACS)} MACs (--full does)"
    console.tell(catalogue.check(found, left_out=left_out, is_good=found["agrees"]))
    faults = [f"{model['name']}: {fault}" for model in found["models"] for fault in model["faults"]]
    if faults:
        raise NegativeResultError(
            f"counts that should agree do not: {'; '.join(faults)}",
            place="archbench models check",
            help="report it; a change of the code has changed these networks",
        )


@command.command()
@click.argument("name")
@option.JSON
def show(name: str) -> None:
    """NAME as YAML, in the form that a search space starts from."""
    from archbench.report.findings import catalogue

    step = command_line("archbench", "profile", name)
    console.tell(catalogue.network(_document(name), next_step=step))


def _matching(pattern: str, *, with_ablations: bool) -> list[str]:
    from archbench.errors import unknown_name
    from archbench.models import ablation_names, published_names
    from archbench.models.catalogue import entry

    known = (*published_names(), *(ablation_names() if with_ablations else ()))
    names = [name for name in known if fnmatch.fnmatch(name, pattern) or pattern in name]
    if not names:
        raise unknown_name("network", pattern, known, place="archbench models")
    return sorted(names, key=lambda name: entry(name).family)


def _document(*names: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "models": [_model(name) for name in names]}


def _model(name: str) -> dict[str, Any]:
    from archbench.models import count
    from archbench.models.catalogue import entry, published

    spec, known = published(name), entry(name)
    exact = count(spec)
    return {
        "name": name,
        "family": known.family,
        "digest": spec.digest,
        "resolution": list(spec.resolution),
        "num_classes": spec.num_classes,
        "params": exact.params,
        "macs": exact.macs,
        "activations": exact.activations,
        "paper": asdict(known.paper),
        "released": known.released._asdict() if known.released else None,
        "ablation": {"base": known.base, "set": dict(known.set), "training": dict(known.training)}
        if known.base
        else None,
        "spec": spec.to_document(),
    }
