"""What disturbs a small board: heat, a weak supply, a clock that moves, too little memory?"""

import time
from collections.abc import Callable, Mapping
from typing import Any

_FIRMWARE: Mapping[int, str] = {
    0: "its supply gave too little voltage",
    1: "its clock was capped",
    2: "it was throttled",
    3: "it was hot and slowed down",
}
"""What the bits mean by which a Raspberry Pi's firmware tells it, and 16 bits higher that it was so
since the start (raspberrypi.com/documentation, vcgencmd get_throttled)."""

_CLOCK_LIMIT = 0.05  # by which a clock may move within a measurement
_STALLED_LIMIT = 0.01  # the share of time that somebody may wait for memory
_SWAPPED_LIMIT = 256  # pages


class BoardWatch:
    """Reads a board's state now and then; each reading tells of the time since the one before."""

    def __init__(self, read: Callable[[], Mapping[str, Any]]) -> None:
        self._read = read
        self.state = read()
        self._at = time.monotonic()

    def use(self, *, works: bool = True) -> dict[str, str]:
        """What disturbed since the last reading, and in a note how the board is."""
        before, began = self.state, self._at
        self.state, self._at = self._read(), time.monotonic()
        reasons = disturbances(before, self.state, seconds=self._at - began)
        return {"disturbance": "; ".join(reasons), "note": in_words(self.state)}

    def told(self) -> dict[str, Any]:
        """What happened since the last reading, and clocks, load and disks as a doctor tells."""
        use, state = self.use(), self.state
        clocks = {"governor": state["governor"] or None, "current_mhz": state["clock_mhz"]}
        return {
            "use": use,
            "clocks": {**clocks, "most_mhz": state["most_mhz"], "boost": None},
            "load": state["load"],
            "disks": {f"{state['folder']} there": state["free_bytes"]},
        }


def disturbances(
    before: Mapping[str, Any], after: Mapping[str, Any], *, seconds: float
) -> list[str]:
    """Why times between two readings of a board's state are uncertain."""
    found = []
    if (bits := after["firmware"]) is not None:
        # Bits that stand now, and those that tell of an end since: the board says each once.
        ended = (bits >> 16) & ~((before["firmware"] or 0) >> 16)
        found += [told for bit, told in _FIRMWARE.items() if (bits | ended) >> bit & 1]
    if (times := after["slowed"] - before["slowed"]) > 0:
        found.append(f"its cores were slowed down for heat {times} times")
    if clock := after["clock_mhz"]:
        low, high = clock
        if high > low * (1 + _CLOCK_LIMIT):
            governor = after["governor"] or "its system"
            found.append(f"its clock moved between {low:.0f} and {high:.0f} MHz by {governor}")
    if (pages := after["swapped"] - before["swapped"]) > _SWAPPED_LIMIT:
        found.append(f"it was short of memory: {pages} pages were swapped")
    elif (stalled := after["stalled_s"] - before["stalled_s"]) > _STALLED_LIMIT * seconds:
        share = stalled / seconds if seconds else 1.0
        found.append(f"it was short of memory: work waited for it {share:.0%} of the time")
    return found


def in_words(state: Mapping[str, Any]) -> str:
    """How a board is, for example ``54 °C, 1800 of 1800 MHz (ondemand), 412 MB free``."""
    told = []
    if state["celsius"] is not None:
        told.append(f"{state['celsius']:.0f} °C")
    if clock := state["clock_mhz"]:
        most = f" of {state['most_mhz']:.0f}" if state["most_mhz"] else ""
        governor = f" ({state['governor']})" if state["governor"] else ""
        told.append(f"{clock[1]:.0f}{most} MHz{governor}")
    told.append(f"{state['memory_bytes'] / 1e6:.0f} MB free")
    return ", ".join(told)
