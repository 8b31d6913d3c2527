"""Under which conditions was a latency taken, in a few words?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


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
