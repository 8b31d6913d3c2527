"""The first lines of a worker: it leaves interruptions to its owner, and ends when that does.

Nothing heavy is imported before: importing torch takes seconds, in which the owner may be killed.
"""

import ctypes
import json
import os
import signal
import sys
import threading
from typing import Any

_IGNORED = (signal.SIGINT, signal.SIGHUP)
BLOCKED = (*_IGNORED, signal.SIGTERM)
"""What must not reach a worker before its first line."""

_PR_SET_PDEATHSIG = 1


def main(options: str) -> None:
    """Binds this process to its owner, then runs jobs until the owner closes the pipe.

    The options are JSON with ``jobs`` and ``lifeline`` (inherited file descriptors), ``owner`` (its
    process id), ``cores`` (to pin to, or null), ``threads``, ``gpu_share`` (of its GPU's memory
    that it may take, or null) and ``is_on_target`` (whether it times candidates itself). Signals
    come ``BLOCKED``.
    """
    given: dict[str, Any] = json.loads(options)
    for ignored in _IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(given["lifeline"],), daemon=True).start()
    if os.getppid() != given["owner"]:
        os._exit(1)
    from archbench.search.engines._worker import work

    work(given)


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: this returns when the owner's end closes
    os.killpg(0, signal.SIGKILL)
