"""``archbench profile``: how large is a network, what does it compute, how fast is it here?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, option
from archbench.command_line import command_line
from archbench.errors import NEGATIVE_RESULT, ArchbenchError, UsageError

if TYPE_CHECKING:
    from archbench.models import ArchSpec
    from archbench.study.measurement import Conditions


class CountsDifferError(ArchbenchError):
    """A network whose two counts do not agree."""

    exit_code = NEGATIVE_RESULT


@click.command()
@click.argument("networks", metavar="NETWORK...", nargs=-1, required=True)
@option.SET
@click.option(
    "--batch",
    "batches",
    metavar="NUMBERS",
    default="1",
    show_default=True,
    callback=option.wholes,
    help="Images per forward pass, as 1,16.",
)
@option.RESOLUTION
@option.THREADS
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "all"]),
    default="all",
    show_default=True,
    help="Where to time; all are those of this machine.",
)
@click.option(
    "--backend",
    "backends",
    metavar="NAMES",
    default="eager",
    show_default=True,
    callback=option.words,
    help="What runs it, as eager,openvino; all are those that are here.",
)
@click.option(
    "--precision",
    "precisions",
    metavar="NAMES",
    default="fp32",
    show_default=True,
    callback=option.words,
    help="fp32, bf16, fp16 or int8, as fp32,bf16.",
)
@click.option("--no-latency", is_flag=True, help="Count only.")
@click.option(
    "--pretrained",
    is_flag=True,
    help="Take the published weights, fetched from the model hub where they are not kept yet.",
)
@click.option("--check", is_flag=True, help="Count the built network with fvcore, too.")
@click.option(
    "--serving",
    "is_serving",
    is_flag=True,
    help="Tails, images/s until they saturate, peak memory and energy.",
)
@click.option("--where", "is_where", is_flag=True, help="Say where the time goes, block by block.")
@click.option(
    "--save",
    metavar="FILE",
    type=option.FILE,
    help="With --where: keep it as a bar plot, .svg or .png.",
)
@option.RESULTS
@option.JSON
def command(
    networks: tuple[str, ...],
    overrides: tuple[str, ...],
    batches: tuple[int, ...],
    resolution: tuple[int, int] | None,
    threads: int,
    device: str,
    backends: tuple[str, ...],
    precisions: tuple[str, ...],
    no_latency: bool,
    pretrained: bool,
    check: bool,
    is_serving: bool,
    is_where: bool,
    save: Path | None,
    results: Path,
    as_json: bool,
) -> None:
    """Count and time networks.

    NETWORK is a published name (see: archbench models), a file as archbench models show prints
    it, or STUDY:TRIAL. To compare with: timm:NAME, torchvision:NAME, or module:PACKAGE.MODULE:NAME
    for a function of yours that returns a torch.nn.Module.
    """
    from archbench.cli.names import network, opened, trial_place
    from archbench.evaluate.profile import profile
    from archbench.report.findings import profile as findings
    from archbench.study.measurement import Conditions

    if is_serving or is_where:
        _check_question(
            both=is_serving and is_where,
            counts=no_latency or pretrained or check,
            other_ways=(backends, precisions) != (("eager",), ("fp32",)),
        )
        specs = [network(text, overrides=overrides, results=results) for text in networks]
        specs = [_resized(spec, resolution) for spec in specs]
        conditions = Conditions(device="cpu" if device == "all" else device, threads=threads)
        is_one = batches == (1,)
        if is_serving:
            _serving(specs, conditions, batches=() if is_one else batches, as_json=as_json)
            return
        keeps = is_one and resolution is None and not overrides
        places = [trial_place(text, results=results) if keeps else None for text in networks]
        if save is not None and len(specs) * len(batches) != 1:
            raise UsageError(
                "a plot shows one network at one batch", place="--save", help="name one of each"
            )
        at = [replace(conditions, batch=batch) for batch in batches]
        _where(specs, at, save=save, places=places, as_json=as_json)
        return
    if save is not None:
        raise UsageError("there is a plot of --where only", place="--save", help="add --where")
    with console.meter(quiet=as_json) as told:
        found = profile(
            [opened(text, overrides=overrides, results=results) for text in networks],
            batches=batches,
            resolution=resolution,
            threads=threads,
            devices=None if device == "all" else (device,),
            backend=backends,
            precision=precisions,
            latency=not no_latency,
            check=check,
            pretrained=pretrained,
            on_progress=told,
        )
    document = found.document()
    differing = [
        model["name"]
        for model in document["models"]
        if model["built"] and not model["built"]["agrees"]
    ]
    step = "" if differing else _next(networks[0], no_latency=no_latency)
    console.tell(findings.finding(document, next_step=step), as_json=as_json)
    if differing:
        raise CountsDifferError(
            f"the closed form and fvcore count differently: {', '.join(differing)}",
            help="report the network; one of the two is at fault",
        )


def _next(name: str, *, no_latency: bool) -> str:
    profile = command_line("archbench", "profile", name)
    if no_latency:
        return f"{profile} times it, too"
    return f"{profile} --batch 1,16, or search around it: archbench space --help"


def _check_question(*, both: bool, counts: bool, other_ways: bool) -> None:
    """``--serving`` and ``--where`` answer one question each, under conditions of their own.

    Raises:
        UsageError: Both are asked, or something that they do not do.
    """
    if both:
        raise UsageError("--serving and --where are two questions", help="ask one at a time")
    if counts:
        raise UsageError(
            "--serving and --where time fresh weights and count nothing",
            help="leave --no-latency, --pretrained and --check out",
        )
    if other_ways:
        raise UsageError(
            "--serving and --where run the eager backend in fp32 only",
            help="leave --backend and --precision out",
        )


def _resized(spec: ArchSpec, resolution: tuple[int, int] | None) -> ArchSpec:
    from archbench.models.part import Grid

    return spec if resolution is None else replace(spec, resolution=Grid(*resolution))


def _serving(
    specs: Sequence[ArchSpec], conditions: Conditions, *, batches: Sequence[int], as_json: bool
) -> None:
    """Prints how each network serves; without batches these double until it is saturated."""
    from archbench.evaluate.serving import SCHEMA, serving
    from archbench.report.findings import serving as findings

    with console.meter(quiet=as_json) as told:
        found = [serving(spec, conditions, batches=batches, on_progress=told) for spec in specs]
    profile = command_line("archbench", "profile", specs[0].name or "FILE", "--where")
    step = f"{profile} says which blocks take the time"
    console.tell(
        findings.finding({"schema": SCHEMA, "networks": found}, next_step=step), as_json=as_json
    )


def _where(
    specs: Sequence[ArchSpec],
    conditions: Sequence[Conditions],
    *,
    save: Path | None,
    places: Sequence[tuple[Path, int] | None],
    as_json: bool,
) -> None:
    """Prints where the time of each network goes, under each of the conditions.

    Args:
        specs: The networks.
        conditions: One for each batch.
        save: A file for the plot.
        places: For each network the study and the trial that it is of, where it is one and its
            report is to show what was found.
        as_json: Print one JSON document instead of text.
    """
    from archbench.evaluate.parts import where
    from archbench.report.findings import parts
    from archbench.report.findings.parts_plot import save_where
    from archbench.study.where_file import SCHEMA

    with console.meter(quiet=as_json) as told:
        found = [where(spec, at, on_progress=told) for spec in specs for at in conditions]
    content = {"schema": SCHEMA, "networks": found}
    if save is not None:
        save_where(found[0], save)
        console.note(f"plot: {save}")
    kept = keep_for_reports(found, places) if any(places) else []
    for path in kept:
        console.note(f"kept for the study's report: {path}")
    step = (
        f"{command_line('archbench', 'report', kept[0].parent.parent)} shows it beside the front"
        if kept
        else f"{command_line('archbench', 'ablate', specs[0].name or 'FILE')} says what each "
        "choice of a network costs and buys"
    )
    console.tell(parts.finding(content, next_step=step), as_json=as_json)


def keep_for_reports(
    networks: Sequence[Mapping[str, Any]], places: Sequence[tuple[Path, int] | None]
) -> list[Path]:
    """Keeps those networks of a document that are trials of studies; the files."""
    from archbench.study.where_file import SCHEMA, write_where

    return [
        write_where(*place, {"schema": SCHEMA, "networks": [found]})
        for found, place in zip(networks, places, strict=True)
        if place is not None
    ]
