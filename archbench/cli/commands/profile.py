"""``archbench profile``: how large is a network, what does it compute, how fast is it here?"""

from __future__ import annotations

from pathlib import Path

import click

from archbench.cli import console
from archbench.cli.option import json_option, resolution, results_option, set_option, wholes, words
from archbench.command_line import command_line
from archbench.errors import NEGATIVE_RESULT, ArchbenchError, UsageError


class CountsDifferError(ArchbenchError):
    """A network whose two counts do not agree."""

    exit_code = NEGATIVE_RESULT


@click.command()
@click.argument("networks", metavar="NETWORK...", nargs=-1, required=True)
@set_option
@click.option(
    "--batch",
    "batches",
    metavar="NUMBERS",
    default="1",
    show_default=True,
    callback=wholes,
    help="Images per forward pass, as 1,16.",
)
@click.option(
    "--resolution",
    metavar="PIXELS",
    callback=resolution,
    help="Side, or height and width: 160x224.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
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
    callback=words,
    help="What runs it, as eager,openvino; all are those that are here.",
)
@click.option(
    "--precision",
    "precisions",
    metavar="NAMES",
    default="fp32",
    show_default=True,
    callback=words,
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
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --where: keep it as a bar plot, .svg or .png.",
)
@results_option
@json_option
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
    from archbench.cli.console import meter
    from archbench.cli.names import network, trial_place
    from archbench.evaluate.foreign import is_foreign
    from archbench.evaluate.profiling import profile
    from archbench.report.findings.backends import flip_text, unavailable_text
    from archbench.report.findings.profile import comparison_text, profile_text

    if is_serving and is_where:
        raise UsageError("--serving and --where are two questions", help="ask one at a time")
    if (is_serving or is_where) and (no_latency or pretrained or check):
        raise UsageError(
            "--serving and --where time fresh weights and count nothing",
            help="leave --no-latency, --pretrained and --check out",
        )
    if (is_serving or is_where) and (backends, precisions) != (("eager",), ("fp32",)):
        raise UsageError(
            "--serving and --where run the eager backend in fp32 only",
            help="leave --backend and --precision out",
        )
    if is_serving:
        from archbench.cli.serving import show_serving
        from archbench.study.measurement import Conditions

        show_serving(
            [network(text, overrides=overrides, results=results) for text in networks],
            Conditions(device="cpu" if device == "all" else device, threads=threads),
            batches=batches if batches != (1,) else (),
            resolution=resolution,
            as_json=as_json,
        )
        return
    if is_where:
        from archbench.cli.where import show_where

        show_where(
            [network(text, overrides=overrides, results=results) for text in networks],
            batches=batches,
            resolution=resolution,
            threads=threads,
            device="cpu" if device == "all" else device,
            save=save,
            keep=[None if overrides else trial_place(text, results=results) for text in networks],
            as_json=as_json,
        )
        return
    if save is not None:
        raise UsageError("there is a plot of --where only", place="--save", help="add --where")
    with meter(quiet=as_json) as told:
        found = profile(
            [
                text
                if is_foreign(text) and not overrides
                else network(text, overrides=overrides, results=results)
                for text in networks
            ],
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
    models = document["models"]
    differing = [
        model["name"] for model in models if model["built"] and not model["built"]["agrees"]
    ]
    if as_json:
        console.document(document)
        _refuse(differing)
        return
    console.result("\n\n\n".join(profile_text(model) for model in models))
    if len(models) > 1:
        console.result("\n\n" + comparison_text(models))
    for text in (flip_text(document["flips"]), unavailable_text(document["unavailable"])):
        if text:
            console.result("\n" + text)
    _refuse(differing)
    console.next_step(_next(networks[0], no_latency=no_latency))


def _refuse(differing: list[str]) -> None:
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
