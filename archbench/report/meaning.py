"""What does each number of a study's page mean, and what does it not say?"""

from archbench.analysis.certificate import pixels
from archbench.analysis.study_header import space_typed
from archbench.command_line import command_line
from archbench.report.number import plural
from archbench.report.summary import Summary


def meaning(summary: Summary) -> dict[str, str]:
    """What each number of the page means, and what it does not say."""
    corner = summary.study.reference_point() or {}
    sides = ", ".join(f"{name} {value:.4g}" for name, value in corner.items())
    proxy, found = summary.proxy, summary.study.certificate
    size = f" at {pixels(proxy)}" if proxy.get("resolution") else ""
    what = proxy.get("data_description") or proxy.get("data") or "unnamed data"
    certify = command_line("archbench", "certify", space_typed(summary.header))
    return {
        "Proxy accuracy": "Share of validation images classified rightly after a short training on "
        f"{what}{size}. It is made to rank designs cheaply and is not your accuracy: not on your "
        "images, and not after a full training.",
        "Its standard error": _error(summary),
        "Certificate of the proxy": f"{found.sentence} (Taken in {found.name}.)"
        if found
        else "None was taken: whether this proxy can rank this space is not known. "
        f"`{certify}` trains a sample for longer and says so.",
        "Test accuracy": "Accuracy of the proxy training on a held-out split of the data, which no "
        "trial of the search used. Only members of the front get one, at the end.",
        "Latency": "Time of one forward pass of the deployed network (batch norm folded, biases "
        "cached) for one batch, under the conditions above. Networks are timed in turn with a "
        "calibration network, and the interval covers 95 %. “Disturbed” means that the machine was "
        "busy meanwhile: the number is kept and marked.",
        "On the front": _chances(summary),
        "MACs": "Multiply-accumulates of one image at the target resolution; one multiply and its "
        "add count as 1. Papers on vision transformers print this same number as FLOPs; tools that "
        "count multiply and add apart print twice as much.",
        "Hypervolume": "The share of the box between the reference point and the ideal that the "
        f"front covers, 0 to 1{f' (reference: {sides})' if sides else ''}. It compares only "
        "studies of one reference point. The range holds 95 % of what the same designs may cover "
        "in truth: the best of many short trainings profited from noise, so it may lie below the "
        "number itself.",
    }


def _error(summary: Summary) -> str:
    images = summary.proxy.get("num_validation")
    count = f" of {images:,.0f} images" if images else ""
    spread = (
        "Each design was trained once, so how much another seed would change is not known and "
        "not in it."
        if summary.proxy.get("seeds") == 1
        else "The spread over training seeds is in it where a design was trained more than once."
    )
    return f"By the size of the validation set{count}: another set would move it so far. {spread}"


def _chances(summary: Summary) -> str:
    doubt = summary.study.front_probabilities
    noise = ""
    if doubt.noise_sd is not None:
        source = (
            plural(doubt.noise_degrees, "repeated training")
            if doubt.noise_degrees
            else "a share of the spread between designs, as none was trained twice"
        )
        noise = (
            f" Two trainings of one design differ by about {100 * doubt.noise_sd:.1f} points "
            f"(standard deviation, by {source})."
        )
    return (
        "The probability that no other design of this study is both more accurate and cheaper in "
        "truth. It counts over draws of what the accuracies may be without noise between seeds, "
        "judged by all designs together, and the latencies within their intervals. It says nothing "
        f"about designs that were not tried.{noise}"
    )
