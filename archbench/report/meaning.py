"""What does each number of the page mean, and what does it not say."""

from __future__ import annotations

from archbench.analysis.verdict import space_typed
from archbench.command_line import command_line
from archbench.report.html import Markup, html
from archbench.report.number import exact
from archbench.report.summary import Summary, number


def meaning(summary: Summary) -> Markup:
    """One paragraph for each kind of number."""
    entries = [
        ("Proxy accuracy", _proxy(summary)),
        ("Its standard error", _error(summary)),
        ("Certificate of the proxy", _certificate(summary)),
        (
            "Test accuracy",
            "Of the proxy training on a sealed share of the data that no trial of the search ever "
            "saw. Only members of the front get one, at the end.",
        ),
        (
            "Latency",
            "Time of one forward pass of the deployed network (batch norm folded, biases cached) "
            "for one batch, under the conditions above. Networks are timed in turn with a "
            "calibration network, and the interval covers 95 %. “Disturbed” means that the machine "
            "was busy meanwhile: the number is kept and marked.",
        ),
        ("On the front", _chances(summary)),
        (
            "MACs",
            "Multiply-accumulates of one image at the target resolution; one multiply and its add "
            "count as 1. Papers on vision transformers print this same number as FLOPs; tools that "
            "count multiply and add apart print twice as much.",
        ),
        (
            "Hypervolume",
            "The share of the box between the reference point and the ideal that the front "
            f"covers, 0 to 1{_corner(summary)}. It compares only studies of one reference point. "
            "The range holds 95 % of what the same designs may cover in truth: the best of many "
            "short trainings were also lucky, so it may lie below the number itself.",
        ),
    ]
    return html(
        '<dl class="meaning">{}</dl>',
        [html("<dt>{}</dt><dd>{}</dd>\n", title, text) for title, text in entries],
    )


def _proxy(summary: Summary) -> str:
    proxy = summary.proxy
    resolution = proxy.get("resolution")
    size = f" at {resolution} px" if resolution else ""
    what = proxy.get("data_description") or proxy.get("data") or "unnamed data"
    return (
        f"Share of validation images classified rightly after a short training on {what}{size}. "
        "It is made to rank designs cheaply and is not your accuracy: not on your images, and not "
        "after a full training."
    )


def _certificate(summary: Summary) -> str:
    found = summary.study.certificate
    if found is not None:
        return f"{found.sentence} (Taken in {found.name}.)"
    certify = command_line("archbench", "certify", space_typed(summary.header))
    return (
        "None was taken: whether this proxy can rank this space is not known. "
        f"`{certify}` trains a sample for longer and says so."
    )


def _error(summary: Summary) -> str:
    images = number(summary.proxy.get("num_validation"))
    count = f" of {exact(int(images))} images" if images else ""
    seeds = number(summary.proxy.get("seeds"))
    spread = (
        "Each design was trained once, so how much another seed would change is not known and "
        "not in it."
        if seeds == 1
        else "The spread over training seeds is in it where a design was trained more than once."
    )
    return f"By the size of the validation set{count}: another set would move it so far. {spread}"


def _chances(summary: Summary) -> str:
    doubt = summary.doubt
    source = (
        f"{doubt.noise_degrees} repeated training{'s' if doubt.noise_degrees > 1 else ''}"
        if doubt.noise_degrees
        else "a share of the spread between designs, as none was trained twice"
    )
    noise = (
        ""
        if doubt.noise_sd is None
        else f" Two trainings of one design differ by about {100 * doubt.noise_sd:.1f} points "
        f"(standard deviation, by {source})."
    )
    return (
        "The probability that no other design of this study is both more accurate and cheaper in "
        "truth. It counts over draws of what the accuracies may be without the luck of a seed, "
        "judged by all designs together, and the latencies within their intervals. It says nothing "
        f"about designs that were not tried.{noise}"
    )


def _corner(summary: Summary) -> str:
    corner = summary.study.reference_point()
    if not corner:
        return ""
    return f" (reference: {', '.join(f'{name} {value:.4g}' for name, value in corner.items())})"
