"""Which differences can this machine resolve, what disturbs it, and what is to be done?"""

import textwrap
from collections.abc import Mapping
from typing import Any

from archbench.report.element import FactList, Lines, ReportTable
from archbench.report.finding import Finding

_NO_TEST = "Which differences can be trusted is not known: there was no time for an A/A test."


def finding(document: Mapping[str, Any]) -> Finding:
    """A doctor document."""
    test, gpu, load = document["test"], document["gpu"], document["load"]
    board = document["board"]
    cores, found, study = test["seat"]["cores"], test["resolution"], document["study"]
    facts = {
        **(_resolution(test, found) if found else {}),
        "disturbed by": _disturbances(test, document["activity"]),
        "cores": _joined(
            f"{document['environment']['cores']} usable",
            f"measured on core {', '.join(map(str, cores))}" if cores else test["seat"]["note"],
            load is not None and f"load average {load:.1f}",
        ),
        "clock": _clock(document["clocks"]),
        "GPU": "none that torch can use"
        if gpu is None
        else _joined(
            f"{gpu['name']}, {_bytes(gpu['used_bytes'])} of {_bytes(gpu['memory_bytes'])} in use",
            gpu["disturbance"],
            gpu["note"],
        ),
        "board": board and _joined(board["note"], board["disturbance"]),
        "constants": _constants(test),
        "disk": "; ".join(f"{_bytes(f)} free in {path}" for path, f in document["disks"].items()),
        "study": study and _study(study),
    }
    advice = [f"- {entry['what']}: {entry['do']}" for entry in document["advice"]]
    backends = [
        {
            "backend": entry["name"],
            "on": entry["device"],
            "precisions": ", ".join(entry["precisions"])
            or textwrap.shorten(f"{entry['missing']}: {entry['help']}", 60, placeholder="..."),
        }
        for entry in document["backends"]
    ]
    smallest = found and f"{100 * found['smallest']:.1f} %"
    trusted = found and f"Right now only latency differences above {smallest} can be trusted."
    return Finding(
        document,
        [
            trusted or _NO_TEST,
            Lines(["what to do", *advice] if advice else ["Nothing disturbs a measurement."]),
            FactList(facts),
            ReportTable(backends, align="lll"),
        ],
        "archbench compare levit_128s levit_128",
    )


def _resolution(test: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, str]:
    false = (
        f"{found['false_share']:.1%} of {found['comparisons']} comparisons of copies of one "
        "network (5 % are by chance)"
    )
    return {
        "A/A test": f"{found['rounds']} rounds with copies of {test['network']}",
        'false "faster"': false if found["comparisons"] else "not known: too few rounds",
        "copies": f"differ by {found['spread']:.1%} over all rounds",
    }


def _disturbances(test: Mapping[str, Any], activity: Mapping[str, Any]) -> str:
    off_cpu, steal, throttled = test["off_cpu"], activity["steal_share"], activity["throttled"]
    return _joined(
        off_cpu is not None and f"other work on the measuring core {off_cpu:.0%} of the time",
        f"drift {test['drift']:.1%}",
        steal is not None and f"time given to other guests {steal:.1%}",
        throttled is not None and f"slowed for heat {throttled} times",
        ", ".join(f"{name} {cores:.1f} cores" for name, cores in activity["busy"]),
    )


def _clock(clocks: Mapping[str, Any]) -> str:
    low, high = clocks["current_mhz"] or (None, None)
    most, boost = clocks["most_mhz"], clocks["boost"]
    return _joined(
        f"{low:.0f} to {high:.0f} MHz" if low != high else low and f"{low:.0f} MHz",
        most and f"at most {most:.0f} MHz",
        f"governor {clocks['governor'] or 'not told by this system'}",
        boost is not None and f"boost {'on' if boost else 'off'}",
    )


def _constants(test: Mapping[str, Any]) -> str:
    worst = max((abs(entry["deviation"]) for entry in test["constants"].values()), default=0.0)
    taken = f", taken {test['generation']} times" if test["generation"] > 1 else ""
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


def _joined(*texts: Any) -> str:
    return "; ".join(filter(None, texts))


def _bytes(value: float) -> str:
    for scale, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if value >= scale:
            return f"{value / scale:.1f} {unit}"
    return f"{value / 1024:.1f} KiB"
