"""``archbench export``: how does this network go where it is used?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line
from archbench.errors import NegativeResultError, UsageError

if TYPE_CHECKING:
    from archbench.evaluate.classifier import TrainedNetwork


def _batch(text: str) -> int | None:
    """A number of images, or None for any."""
    return None if text == "dynamic" else option.batches(text)[0]


@click.command()
@click.argument("network")
@click.option(
    "--to",
    "formats",
    required=True,
    type=option.names,
    metavar="FORMATS",
    help="Formats, as onnx,openvino: aotinductor, executorch, exported, hf, litert, ncnn, onnx, "
    "openvino, python, timm.",
)
@option.folder("--out", help="Folder of the files; by default results/exported-NETWORK.")
@click.option("--weights", type=option.FILE, help="Weights of NETWORK, of any known layout.")
@click.option("--random-weights", is_flag=True, help="Export NETWORK with fresh weights.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="By default fp32, of a trial in int8 that; int8 is calibrated on images of --data.",
)
@click.option(
    "--batch", default="1", type=_batch, metavar="1|N|dynamic", help="Images of one pass."
)
@click.option("--data", metavar="NAME", help="Images to calibrate on and to compare on.")
@option.THREADS
@click.option("--no-latency", is_flag=True, help="Measure no latency.")
@option.RESULTS
@option.JSON
def command(
    network: str,
    *,
    formats: tuple[str, ...],
    out: Path | None,
    weights: Path | None,
    random_weights: bool,
    precision: str | None,
    batch: int | None,
    data: str | None,
    threads: int,
    no_latency: bool,
    results: Path,
) -> None:
    """Write NETWORK as files of runtimes and libraries, each run there, compared and timed.

    NETWORK is a file of weights as archbench train writes it, STUDY:TRIAL whose weights were kept,
    or a published name or a file of a network with --weights. Beside the files lie card.json and a
    model card, README.md.
    """
    from archbench.evaluate.export import Asked, export
    from archbench.report.findings import export as findings
    from archbench.report.model_card import readme
    from archbench.study.atomic_file import write_atomically

    model = _model(network, weights=weights, is_random=random_weights, results=results)
    if precision is None:
        own, calibration = names.precision(network, results=results)
        precision, data = own, data or calibration
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model.name).strip("-.") or model.spec.digest
    folder = out or results / f"exported-{name}"

    def write_readme(card: Mapping[str, Any]) -> None:
        write_atomically(folder / "README.md", readme(card).encode())

    with console.Meter() as progress:
        found = export(
            model,
            formats=formats,
            folder=folder,
            asked=Asked(precision=precision, batch=batch, threads=threads, latency=not no_latency),
            data=data,
            on_card=write_readme,
            on_progress=progress,
        )
    entries = [one for one in found["artifacts"] if one["format"] in formats]
    step = ""
    if entries:
        step = command_line("archbench", "predict", folder / entries[0]["folder"], "PICTURES")
    console.tell(findings.finding(found, folder=str(folder), next_step=step))
    failed = [one["format"] for one in found["failed"] if one["format"] in formats]
    if failed:
        raise NegativeResultError(
            f"not exported: {', '.join(failed)}", help="the reasons stand above and in card.json"
        )


def _model(text: str, *, weights: Path | None, is_random: bool, results: Path) -> TrainedNetwork:
    """The network that a text names, with its weights."""
    from archbench.evaluate.classifier import trained, untrained

    if weights is not None or is_random:
        if weights is not None and is_random:
            raise UsageError("--weights and --random-weights exclude each other", place=text)
        spec = names.network(text, overrides=(), results=results)
        return untrained(spec) if weights is None else trained(weights, spec=spec)
    if names.is_network(text) and ":" not in text:
        raise UsageError(
            "a network by its name alone has no weights",
            place=text,
            help="name a file with --weights, or say --random-weights to try it untrained",
        )
    return trained(names.weights(text, results=results))
