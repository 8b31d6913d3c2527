"""``archbench profile``: how large is a network, what does it compute, how fast is it here?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line
from archbench.errors import NegativeResultError, UsageError

if TYPE_CHECKING:
    from archbench.models import ArchSpec
    from archbench.study.measurement import Conditions


@click.command()
@click.argument("networks", metavar="NETWORK...", nargs=-1, required=True)
@option.SET
@click.option(
    "--batch", "batches", default="1", type=option.batches, help="Images per forward pass, as 1,16."
)
@option.RESOLUTION
@option.THREADS
@click.option(
    "--device",
    metavar="NAME",
    default="all",
    help="Device to time on: cpu, cuda, or one that archbench device added; all means each one "
    "of this machine.",
)
@click.option(
    "--backend",
    type=option.names,
    help="Backends, as eager,openvino; all means each one that is installed. By default eager, or "
    "another device's runtime.",
)
@click.option(
    "--precision",
    default="fp32",
    type=option.names,
    help="Precisions: fp32, bf16, fp16 or int8, as fp32,bf16.",
)
@option.CALIBRATION
@click.option("--no-latency", is_flag=True, help="Measure no latency.")
@click.option(
    "--pretrained", is_flag=True, help="Load the published weights; they are downloaded once."
)
@click.option("--check", is_flag=True, help="Check the counts with fvcore on the built network.")
@click.option(
    "--serving",
    "is_serving",
    is_flag=True,
    help="Measure tail latencies, throughput, peak memory and energy.",
)
@click.option("--where", "is_where", is_flag=True, help="Show which blocks take the time.")
@click.option(
    "--save", type=option.FILE, help="With --where: write a bar plot to this .svg or .png file."
)
@option.RESULTS
@option.JSON
def command(
    networks: tuple[str, ...],
    *,
    overrides: tuple[str, ...],
    results: Path,
    is_serving: bool,
    is_where: bool,
    save: Path | None,
    device: str,
    no_latency: bool,
    **how: Any,
) -> None:
    """Count and time networks.

    NETWORK is a published name (see: archbench models), a file as archbench models show prints
    it, or STUDY:TRIAL. To compare with: timm:NAME, torchvision:NAME, or module:PACKAGE.MODULE:NAME
    for a function of yours that returns a torch.nn.Module.
    """
    from archbench.evaluate.profile import profile
    from archbench.measure.device.known import default_backend
    from archbench.report.findings import profile as findings
    from archbench.study.measurement import Conditions

    devices = None if device == "all" else (device,)
    how["backend"] = how["backend"] or (default_backend(device) if devices else "eager",)
    if is_serving or is_where:
        _check_question(both=is_serving and is_where, no_latency=no_latency, **how)
        batches, resolution = how["batches"], how["resolution"]
        specs = [
            names.network(text, overrides=overrides, results=results, resolution=resolution)
            for text in networks
        ]
        at = Conditions(device="cpu" if device == "all" else device, threads=how["threads"])
        is_one = batches == (1,)
        if is_serving:
            _serving(specs, at, batches=() if is_one else batches)
            return
        if save is not None and len(specs) * len(batches) != 1:
            raise UsageError(
                "a plot shows one network at one batch", place="--save", help="name one of each"
            )
        keeps = is_one and resolution is None and not overrides
        places = [names.trial_place(text, results=results) if keeps else None for text in networks]
        _where(specs, [replace(at, batch=batch) for batch in batches], save=save, places=places)
        return
    if save is not None:
        raise UsageError("there is a plot of --where only", place="--save", help="add --where")
    asked = [names.opened(text, overrides=overrides, results=results) for text in networks]
    with console.Meter() as progress:
        found = profile(asked, devices=devices, latency=not no_latency, on_progress=progress, **how)
    document = found.document()
    differing = [
        model["name"]
        for model in document["models"]
        if model["built"] and not model["built"]["agrees"]
    ]
    step = option.typed_command("--no-latency") if no_latency else _look_closer(networks)
    console.tell(findings.finding(document, next_step="" if differing else step))
    if differing:
        raise NegativeResultError(
            f"the closed form and fvcore count differently: {', '.join(differing)}",
            help="report the network; one of the two is at fault",
        )


def _look_closer(networks: Sequence[str]) -> str:
    """What to type after networks were timed: which is faster, or where the time of one goes."""
    from archbench.evaluate.foreign import is_foreign

    if len(networks) > 1:
        return command_line("archbench", "compare", *networks)
    if is_foreign(networks[0]):
        return command_line("archbench", "compare", networks[0], "levit_128s")
    return command_line("archbench", "profile", networks[0], "--where")


def _check_question(*, both: bool, no_latency: bool, **how: Any) -> None:
    """``--serving`` and ``--where`` answer one question each, under conditions of their own."""
    if both:
        raise UsageError("--serving and --where are two questions", help="ask one at a time")
    if no_latency or how["pretrained"] or how["check"]:
        raise UsageError(
            "--serving and --where time fresh weights and count nothing",
            help="leave --no-latency, --pretrained and --check out",
        )
    if (how["backend"], how["precision"]) != (("eager",), ("fp32",)):
        raise UsageError(
            "--serving and --where run the eager backend in fp32 only",
            help="leave --backend and --precision out",
        )


def _serving(specs: Sequence[ArchSpec], conditions: Conditions, *, batches: Sequence[int]) -> None:
    """Prints how each network serves; without batches these double until it is saturated."""
    from archbench.evaluate.deployed import SERVING_SCHEMA, serving
    from archbench.report.findings import speed

    with console.Meter() as progress:
        found = [serving(spec, conditions, batches=batches, on_progress=progress) for spec in specs]
    step = f"{option.typed_command('--serving')} --where"
    console.tell(speed.serving({"schema": SERVING_SCHEMA, "networks": found}, next_step=step))


def _where(
    specs: Sequence[ArchSpec],
    conditions: Sequence[Conditions],
    *,
    save: Path | None,
    places: Sequence[tuple[Path, int] | None],
) -> None:
    """Prints where the time of each network goes, and keeps it in place for a study's report."""
    from archbench.evaluate.deployed import where
    from archbench.report.findings.parts import finding, save_where
    from archbench.study.study_folder import WHERE_SCHEMA, write_where

    with console.Meter() as progress:
        found = [where(spec, at, on_progress=progress) for spec in specs for at in conditions]
    if save is not None:
        save_where(found[0], save)
        console.note(f"plot: {save}")
    step = f"{option.typed_command('--where')} --serving"
    kept = [  # under one of the conditions, where there are places
        write_where(*place, {"schema": WHERE_SCHEMA, "networks": [network]})
        for network, place in zip(found, places, strict=False)
        if place is not None
    ]
    for path in kept:
        console.note(f"kept for the study's report: {path}")
    if kept:
        step = command_line("archbench", "report", kept[0].parent.parent)
    console.tell(finding({"schema": WHERE_SCHEMA, "networks": found}, next_step=step))
