"""``archbench weights``: whose weights are in a file, and how do they become those of others?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console
from archbench.cli.option import json_option, resolution, results_option, set_option
from archbench.command_line import command_line
from archbench.report.text import table

if TYPE_CHECKING:
    from archbench.models import Converted

SCHEMA = "archbench.weights-file/1"
_SHOWN = 12


@click.group(subcommand_metavar="convert IN OUT | show FILE | fetch NAME")
def command() -> None:
    """Weights of networks: convert them, look into a file, fetch the published ones.

    Read are the names of the released LeViT, CvT and DeiT, of timm, transformers and
    torchvision, and our own, in safetensors or PyTorch's files. Nothing in a file is executed.
    """


@command.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="NETWORK",
    help="What they are weights of: a published name, a file, or STUDY:TRIAL. By default seen "
    "from the file.",
)
@click.option(
    "--to",
    default="archbench",
    show_default=True,
    metavar="LAYOUT",
    help="Whose names to write: archbench, official, timm, transformers or torchvision.",
)
@click.option("--layout", metavar="LAYOUT", help="Whose names IN has; by default seen from them.")
@click.option(
    "--resolution",
    metavar="PIXELS",
    callback=resolution,
    help="Interpolate positions and biases to images of this side, or of 160x224.",
)
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    help="Replace the classifiers by fresh ones of so many classes.",
)
@set_option
@results_option
@json_option
def convert(
    source: Path,
    target: Path,
    model: str | None,
    to: str,
    layout: str | None,
    resolution: tuple[int, int] | None,
    classes: int | None,
    overrides: tuple[str, ...],
    results: Path,
    as_json: bool,
) -> None:
    """Read the weights IN and write them as OUT.

    OUT ends in .safetensors or, where the names are not ours, in .pth, .pt or .bin. There and
    back changes no bit.
    """
    from archbench.cli.names import network
    from archbench.errors import UsageError
    from archbench.models import convert_weights

    if overrides and model is None:
        raise UsageError("--set changes a network that --model names", place="--set")
    converted = convert_weights(
        source,
        target,
        model=network(model, overrides=overrides, results=results) if model else None,
        to=to,
        layout=layout,
        resolution=resolution,
        classes=classes,
    )
    if as_json:
        console.document(_converted_document(converted))
        return
    console.result(_converted_text(converted))
    console.next_step(command_line("archbench", "weights", "show", target))


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path, as_json: bool) -> None:
    """Whose names are in FILE, of which network, and is it whole?"""
    from archbench.models import describe_weights

    found = describe_weights(file)
    if as_json:
        console.document({"schema": SCHEMA, **found})
        return
    console.result(_description_text(found))
    name = found["network"] or next(iter(found["same_size"]), "NETWORK")
    more = (
        ("OUT", "--to", "timm")
        if found["layout"] == "archbench"
        else ("OUT.safetensors", "--model", name)
    )
    console.next_step(command_line("archbench", "weights", "convert", file, *more))


@command.command()
@click.argument("name")
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to keep them; the cache by default.",
)
@json_option
def fetch(name: str, out: Path | None, as_json: bool) -> None:
    """Get the published weights of NAME from the hub."""
    from archbench.cli.console import meter
    from archbench.evaluate.pretrained import fetch_weights

    with meter(quiet=as_json) as told:
        found = fetch_weights(name, folder=out, on_progress=told)
    if as_json:
        console.document(
            {"schema": SCHEMA, "network": name, "file": str(found.path), "url": found.url or None}
        )
        return
    console.result(str(found.path))
    console.note(f"from {found.url}" if found.url else "it was there already")
    console.next_step(command_line("archbench", "weights", "show", found.path))


def _converted_document(converted: Converted) -> dict[str, Any]:
    loaded = converted.loaded
    return {
        "schema": SCHEMA,
        "file": str(converted.path),
        "sha256": converted.sha256,
        "layout": converted.layout,
        "network": converted.spec.name,
        "spec": converted.spec.to_document(),
        "read_layout": loaded.layout,
        "verified": loaded.verified,
        "interpolated": list(loaded.interpolated),
        "fresh": list(loaded.fresh),
    }


def _converted_text(converted: Converted) -> str:
    loaded, spec = converted.loaded, converted.spec
    lines = [
        f"{spec.name or 'network'}: {loaded.layout} -> {converted.layout}",
        f"written: {converted.path}",
        f"sha256:  {converted.sha256}",
    ]
    if loaded.interpolated:
        lines.append(
            f"interpolated from {loaded.spec.resolution} to {spec.resolution}: "
            f"{len(loaded.interpolated)} tables"
        )
    if loaded.fresh:
        lines.append(f"fresh for {spec.num_classes} classes: {len(loaded.fresh)} tensors")
    return "\n".join(lines)


def _description_text(found: dict[str, Any]) -> str:
    tensors = found["tensors"]
    of = found["network"] or " or ".join(found["same_size"][:3]) or "not a published one"
    source = found["source"]
    lines = [
        f"layout   {found['layout']} ({found['title']} names), {found['kind']}",
        f"network  {of}{'' if found['network'] else ', by the number of parameters'}",
        f"size     {len(tensors)} tensors, {found['bytes']:,} bytes",
        f"sha256   {found['sha256']}",
        f"content  {_checked(found)}",
    ]
    if source:
        came = source.get("url") or source.get("file") or ""
        lines.append(f"source   {came} ({source.get('layout')})")
        lines.append(f"         sha256 {source.get('sha256')}")
    rows = [
        (name, "x".join(map(str, entry["shape"])), entry["type"])
        for name, entry in list(tensors.items())[:_SHOWN]
    ]
    lines += ["", table(("tensor", "shape", "type"), rows, align="lrl")]
    if len(tensors) > _SHOWN:
        lines.append(f"and {len(tensors) - _SHOWN} more: --json lists all")
    return "\n".join(lines)


def _checked(found: dict[str, Any]) -> str:
    if found["verified"]:
        return "agrees with the sha256 of weights and spec in its header"
    return "holds no sha256 to check"
