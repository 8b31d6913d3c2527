"""How is an agent on another device asked, over a shell that some command gives?

A request and an answer are each a line of JSON with raw bytes behind it. What comes from a device
is read as that and as nothing else: no object is made of it, and a number that is none ends the
link as a cut does.
"""

import json
import math
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from archbench.errors import MissingError
from archbench.progress import Progress

PATIENCE_S = 300.0
"""How long an answer may take, of which a pass on a small board is the slowest."""

_T = TypeVar("_T")
_GREETING = b'{"archbench": '
_LONGEST_LINE, _MOST_BYTES = 2**22, 2**31
_MOST_NOISE = 200  # lines that a shell may print before the agent greets
_END_S = 2.0
_PROBLEM = 300  # characters of what the other side printed last


PAUSES_S = (0.0, 5.0, 20.0)
"""How long to wait before a device is asked again to which the link was lost."""


class LinkError(MissingError):
    """A device that does not answer, or the link to which was lost; asked again it may answer."""


def asked_again(
    take: Callable[[], _T],
    *,
    on_progress: Progress | None = None,
    pauses_s: Sequence[float] | None = None,
) -> _T:
    """What a function gives that asks a device; it is called again where the link was lost.

    Raises:
        LinkError: It was lost each time.
    """
    for pause_s in PAUSES_S if pauses_s is None else pauses_s:
        try:
            return take()
        except LinkError as lost:
            if on_progress:
                on_progress(f"{lost}; asking again", 0, 0)
            time.sleep(pause_s)
    return take()


class Link:
    """An agent that runs, and its greeting; the agent ends when the link is closed.

    Args:
        shell: The command that gives a shell there.
        script: What the shell is told; it ends with starting the agent in its place.
        name: That of the device, for errors.

    Raises:
        LinkError: No agent answers.
    """

    def __init__(
        self, shell: Sequence[str], script: str, *, name: str, patience_s: float = PATIENCE_S
    ) -> None:
        self.name, self._patience_s, self._held = name, patience_s, bytearray()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  closed with the link
        try:
            self._process = subprocess.Popen(  # noqa: S603
                list(shell),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._printed,
                start_new_session=True,  # a Ctrl-C is ours to answer
            )
        except OSError as error:
            self._printed.close()
            reason = f"{shell[0]} cannot be run: {error.strerror}"
            raise LinkError(reason, place=f"device {name}") from error
        try:
            self._send(script.encode())
            # Only now is the shell done with its input, of which it may have read ahead.
            lines = (self._line() for _ in range(_MOST_NOISE))
            found = next((line for line in lines if line.startswith(_GREETING)), b"")
            greeting = self._document(found)
            if not isinstance(greeting.get("machine"), dict):
                raise self._lost(f"it greeted with {found[:60]!r}")
            self.greeting = greeting
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, payload: bytes = b"", **fields: Any) -> tuple[dict[str, Any], bytes]:
        """The answer to a request, with the bytes behind it.

        Raises:
            LinkError: The link was lost, or what came is no answer.
            RuntimeError: The agent could not do it, for what it says.
        """
        line = json.dumps({"do": do, **fields, "bytes": len(payload)})
        self._send(line.encode() + b"\n" + payload)
        answer = self._document(self._line())
        size = answer.pop("bytes", None)
        if not isinstance(size, int) or not 0 <= size <= _MOST_BYTES:
            raise self._lost(f"it answered {size!r:.60} for a number of bytes")
        found = self._taken(size)
        if "error" in answer:
            raise RuntimeError(f"on {self.name}: {answer['error']}")
        return answer, found

    def seconds(self, answer: dict[str, Any], *names: str) -> tuple[float, ...]:
        """Durations of an answer.

        Raises:
            LinkError: One is none.
        """
        found = [answer.get(name) for name in names]
        if all(isinstance(one, int | float) and 0 <= one < math.inf for one in found):
            return tuple(map(float, found))  # type: ignore[arg-type]
        raise self._lost(f"it answered {found!r:.60} for durations")

    def close(self) -> None:
        """Ends the agent, by closing its input."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._printed.close()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as error:
            raise self._lost("") from error

    def _line(self) -> bytes:
        while b"\n" not in self._held:
            if len(self._held) > _LONGEST_LINE:
                raise self._lost("it answered a line without an end")
            self._read()
        return self._taken(self._held.index(b"\n") + 1)[:-1]

    def _taken(self, size: int) -> bytes:
        while len(self._held) < size:
            self._read()
        found = bytes(self._held[:size])
        del self._held[:size]
        return found

    def _read(self) -> None:
        """Takes more of what came."""
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        if not select.select([handle], [], [], self._patience_s)[0]:
            raise self._lost(f"it said nothing for {self._patience_s:.0f} s")
        more = os.read(handle, 2**20)
        if not more:
            raise self._lost("")
        self._held += more

    def _document(self, line: bytes) -> dict[str, Any]:
        with suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
        raise self._lost(f"it answered {line[:60]!r}, which is no answer of an agent")

    def _lost(self, why: str) -> LinkError:
        """The error; without a reason it is what the other side printed last, or how it ended."""
        if not why:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
            self._printed.seek(0)
            text = self._printed.read()[-4 * _PROBLEM :].decode(errors="replace").strip()
            last = text.splitlines()[-1:] or [f"it ended with {self._process.returncode}"]
            why = last[0][-_PROBLEM:]
        place, greeted = f"device {self.name}", hasattr(self, "greeting")
        message = f"the link was lost: {why}" if greeted else f"no agent answers: {why}"
        return LinkError(message, place=place)
