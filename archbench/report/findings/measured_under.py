"""Under which conditions was something measured or trained?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report.element import Code, Part, groups


def side(resolution: Sequence[int]) -> str:
    """Height and width of an image: ``224x224``."""
    return "x".join(map(str, resolution))


def device_text(conditions: Mapping[str, Any]) -> str:
    """Where it ran: ``cpu x1`` or ``cuda``."""
    threads = f" x{conditions['threads']}" if conditions["device"] == "cpu" else ""
    return f"{conditions['device']}{threads}"


def runs_text(conditions: Mapping[str, Any]) -> str:
    """What ran it, and where: ``cpu x1, eager fp32``."""
    return f"{device_text(conditions)}, {conditions['backend']} {conditions['precision']}"


def conditions(header: Mapping[str, Any], more: Mapping[str, Any]) -> list[Part]:
    """How a certificate or an ablation was taken, with facts of its own by title; its command."""
    proxy = dict(header["proxy"])
    plan = proxy.pop("plan")
    machine = {"Machine and software": header["environment"], "How its steps are computed": plan}
    return [groups({"Trainings": proxy, **more, **machine}), Code(str(header["command"]))]
