"""How does a person read a checkup: what can be told apart, what disturbs, what to do?"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report.text import WIDTH, table

_INDENT = 16


def doctor_text(document: Mapping[str, Any]) -> str:
    """A doctor document in 80 columns."""
    facts = {
        **_test(document["test"]),
        "disturbed by": _disturbances(document),
        "cores": _cores(document),
        "clock": _clock(document["clocks"]),
        "GPU": _gpu(document["gpu"]),
        "constants": _constants(document["test"]),
        "disk": "; ".join(f"{_bytes(f)} free in {path}" for path, f in document["disks"].items()),
    }
    if document["study"]:
        facts["study"] = _study(document["study"])
    parts = [
        "\n".join(_fact(name, text) for name, text in facts.items()),
        _backends(document["backends"]),
        _advice(document["advice"]),
    ]
    return "\n\n".join(parts)


def _test(test: Mapping[str, Any]) -> dict[str, str]:
    resolution = test["resolution"]
    if resolution is None:
        return {"told apart": "nothing: there was no time for an A/A test"}
    short = (
        f"{resolution['false_share']:.1%} of {resolution['comparisons']} comparisons of copies of "
        "one network (5 % are by chance)"
        if resolution["comparisons"]
        else "not known: too few rounds"
    )
    return {
        "told apart": f"differences from {resolution['smallest']:.1%} on, within "
        f"{resolution['rounds']} rounds ({test['network']})",
        'false "faster"': short,
        "copies": f"differ by {resolution['spread']:.1%} over all rounds",
    }


def _disturbances(document: Mapping[str, Any]) -> str:
    test, activity = document["test"], document["activity"]
    found = []
    if test["off_cpu"] is not None:
        found.append(f"other work on the measuring core {test['off_cpu']:.0%} of the time")
    found.append(f"drift {test['drift']:.1%}")
    if activity["steal_share"] is not None:
        found.append(f"time given to other guests {activity['steal_share']:.1%}")
    if activity["throttled"] is not None:
        found.append(f"slowed for heat {activity['throttled']} times")
    if activity["busy"]:
        found.append(", ".join(f"{name} {cores:.1f} cores" for name, cores in activity["busy"]))
    return "; ".join(found)


def _cores(document: Mapping[str, Any]) -> str:
    seat = document["test"]["seat"]
    pinned = ", ".join(map(str, seat["cores"]))
    load = document["load"]
    parts = [
        f"{document['environment']['cores']} usable",
        f"measured on core {pinned}" if pinned else seat["note"],
        f"load average {load:.1f}" if load is not None else "",
    ]
    return "; ".join(filter(None, parts))


def _clock(clocks: Mapping[str, Any]) -> str:
    parts = []
    if clocks["current_mhz"]:
        low, high = clocks["current_mhz"]
        parts.append(f"{low:.0f} to {high:.0f} MHz" if low != high else f"{low:.0f} MHz")
    if clocks["most_mhz"]:
        parts.append(f"at most {clocks['most_mhz']:.0f} MHz")
    parts.append(f"governor {clocks['governor'] or 'not told by this system'}")
    if clocks["boost"] is not None:
        parts.append(f"boost {'on' if clocks['boost'] else 'off'}")
    return "; ".join(parts)


def _gpu(gpu: Mapping[str, Any] | None) -> str:
    if gpu is None:
        return "none that torch can use"
    parts = [
        f"{gpu['name']}, {_bytes(gpu['used_bytes'])} of {_bytes(gpu['memory_bytes'])} in use",
        gpu["disturbance"],
        gpu["note"],
    ]
    return "; ".join(filter(None, parts))


def _constants(test: Mapping[str, Any]) -> str:
    worst = max((abs(entry["deviation"]) for entry in test["constants"].values()), default=0.0)
    generation = test["generation"]
    taken = f", taken {generation} times" if generation > 1 else ""
    return (
        f"{len(test['constants'])} kept{taken}; the machine takes {test['state']:+.1%} beside "
        f"them, and they differ by at most {worst:.1%} among themselves"
    )


def _study(study: Mapping[str, Any]) -> str:
    backup = "a backup beside it" if study["has_backup"] else "no backup"
    if study["fault"]:
        return f"{study['path']} cannot be read: {study['fault']}; {backup}"
    size = _bytes(study["size_bytes"])
    return f"{study['path']} is whole: {study['trials']} trials, {size}, {backup}"


def _backends(backends: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (entry["name"], entry["device"], ", ".join(entry["precisions"]) or _missing(entry))
        for entry in backends
    ]
    return table(("backend", "on", "precisions"), rows, align="lll")


def _missing(entry: Mapping[str, Any]) -> str:
    return textwrap.shorten(f"{entry['missing']}: {entry['help']}", 60, placeholder="...")


def _advice(advice: Sequence[Mapping[str, str]]) -> str:
    if not advice:
        return "nothing stands in the way of a measurement"
    lines = ["what to do"]
    for entry in advice:
        text = f"- {entry['what']}: {entry['do']}"
        lines.append(textwrap.fill(text, WIDTH, subsequent_indent="  "))
    return "\n".join(lines)


def _fact(name: str, text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=f"{name:{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
    )


def _bytes(value: float) -> str:
    for scale, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if value >= scale:
            return f"{value / scale:.1f} {unit}"
    return f"{value / 1024:.1f} KiB"
