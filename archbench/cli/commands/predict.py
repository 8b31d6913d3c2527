"""``archbench predict``: which class is on these pictures?"""

from __future__ import annotations

from pathlib import Path

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line
from archbench.errors import MissingError, UsageError

_EXAMPLE = "archbench predict results/trained-levit_128s/best.safetensors photos"


@click.command()
@click.argument("model")
@click.argument("images", metavar="IMAGE...", nargs=-1)
@click.option(
    "--top", type=option.whole("classes"), default=1, help="Show so many classes of each picture."
)
@click.option("--space", hidden=True)
@option.RESULTS
@option.JSON
def command(
    model: str, images: tuple[str, ...], *, top: int, space: str | None, results: Path
) -> None:
    """Classify pictures with a trained network.

    MODEL is a file of weights as archbench train writes it, STUDY:TRIAL, or a file or folder that
    archbench export wrote. IMAGE is a picture or a folder of them. Pictures are prepared as those
    of the training were.
    """
    from archbench.evaluate.artifact import from_artifact, is_artifact
    from archbench.evaluate.classifier import trained
    from archbench.evaluate.predict import predict
    from archbench.report.findings import predictions

    _refuse_networks((model, *images), space=space)
    file = names.weights(model, results=results)
    classifier = from_artifact(file) if is_artifact(file) else trained(file).classifier()
    with console.Meter() as progress:
        found = predict(classifier, [Path(path) for path in images], top=top, on_progress=progress)
    console.tell(predictions.finding(found))
    if missed := len(found["unreadable"]):
        raise MissingError(
            f"{missed:,} of {missed + len(found['images']):,} pictures cannot be read",
            place=found["unreadable"][0]["file"],
            help="the others are classified; save these as JPEG or PNG",
        )


def _refuse_networks(words: tuple[str, ...], *, space: str | None) -> None:
    """What ``archbench predict`` meant before it classified pictures has another name now."""
    if space is not None:
        asked: tuple[str, ...] = ("--space", space)
    elif all(names.is_network(word) and not Path(word).is_dir() for word in words):
        asked = words
    elif len(words) == 1:
        raise UsageError("no picture is named", help=_EXAMPLE)
    else:
        return
    raise UsageError(
        "no picture is named, and latencies are now estimated by another command",
        help=f"{command_line('archbench', 'estimate', *asked)}; pictures: {_EXAMPLE}",
    )
