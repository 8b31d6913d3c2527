"""What became of a network in each format: is it the same, how fast, and where does it lie?"""

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report import number
from archbench.report.element import Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.model_card import operators, remarks


def finding(document: Mapping[str, Any], *, folder: str, next_step: str) -> Finding:
    """A document of the schema ``archbench.card/1``."""
    artifacts, accuracy = document["artifacts"], document["accuracy"]
    rows = [_row(one) for one in artifacts]
    compared = {one["compared"]["on"] for one in artifacts}
    told = (
        f"{document['name']} has an accuracy of {number.percent(accuracy['value'])} on "
        f"{accuracy['num_images']:,} held-out images of {accuracy['data']}"
        if accuracy
        else f"{document['name']} was not tested: --data names the images"
    )
    parts: list[Part] = [
        _answer(artifacts, folder=folder),
        ReportTable(rows, align="llrrrrr", leaves_out=True),
        Lines(
            [
                told,
                f"differences are on {' and '.join(sorted(compared))}" if compared else "",
                *remarks(document),
                *(operators(one) for one in artifacts),
                *(_reason(one) for one in artifacts),
                *(_failure(one) for one in document["failed"]),
            ]
        ),
    ]
    return Finding(document, parts, next_step)


def _answer(artifacts: Sequence[Mapping[str, Any]], *, folder: str) -> str:
    """Where the files lie, and which of several is the fastest."""
    if not artifacts:
        return "Nothing was exported."
    names = [f"{one['format']} {one['precision']}" for one in artifacts]
    timed = {
        name: float(one["latency"]["value"])
        for name, one in zip(names, artifacts, strict=True)
        if one["latency"] and one["latency"]["value"]
    }
    fastest = (
        f" {min(timed, key=lambda name: timed[name])} is the fastest." if len(timed) > 1 else ""
    )
    return f"{', '.join(names)}: written to {folder}.{fastest}"


def _row(one: Mapping[str, Any]) -> dict[str, object]:
    compared, latency, accuracy = one["compared"], one["latency"], one["accuracy"]
    agreement = compared["agreement"]
    return {
        "format": one["format"],
        "precision": one["precision"],
        "MB": f"{one['bytes'] / 1e6:.1f}",
        "difference": f"{compared['largest_difference']:.1e}",
        "agree": number.NOT_THERE if agreement is None else number.percent(agreement),
        "latency, ms": number.with_interval(latency["value"], latency["low"], latency["high"])
        if latency
        else number.NOT_THERE,
        "accuracy": number.percent(accuracy["value"]) if accuracy else number.NOT_THERE,
    }


def _reason(one: Mapping[str, Any]) -> str:
    latency = one["latency"]
    if not latency or not latency["reason"]:
        return ""
    name = f"{one['format']} {one['precision']}"
    return f"the latency of {name} is {latency['verdict']}: {latency['reason']}"


def _failure(one: Mapping[str, Any]) -> str:
    help_ = f"; {one['help']}" if one["help"] else ""
    return f"{one['format']} {one['precision']} failed: {one['reason']}{help_}"
