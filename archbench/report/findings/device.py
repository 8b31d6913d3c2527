"""Which other devices are known, and what runs there?"""

from collections.abc import Mapping
from typing import Any

from archbench.command_line import command_line
from archbench.report.element import FactList, Lines, ReportTable
from archbench.report.finding import Finding


def added(document: Mapping[str, Any]) -> Finding:
    """A device that was just added, as the agent found it."""
    (device,) = document["devices"]
    facts = {
        "address": device["address"],
        "processor": f"{device['cpu']}, {device['cores']} cores",
        "memory": f"{device['memory_bytes'] / 2**30:.1f} GiB",
        "system": device["system"],
        "Python": device["python"],
        "runtimes": _runtimes(device),
    }
    step = command_line("archbench", "profile", "levit_128s", "--device", device["name"])
    return Finding(document, [f"added {device['name']}", FactList(facts)], step)


def listing(document: Mapping[str, Any]) -> Finding:
    """All devices that are known."""
    rows = [
        {
            "device": device["name"],
            "address": device["address"],
            "processor": device["cpu"],
            "runtimes": _runtimes(device),
        }
        for device in document["devices"]
    ]
    none = "no other device is known"
    step = "archbench device add pi ssh:pi@raspberrypi"
    if rows:
        step = command_line("archbench", "doctor", "--device", rows[0]["device"])
    return Finding(document, [ReportTable(rows, align="llll") if rows else Lines([none])], step)


def _runtimes(device: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in device["runtimes"].items())
