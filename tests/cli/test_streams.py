"""Full, closed and narrow standard streams: no traceback, and an exit code that tells."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.conftest import needs_full_device

_PROGRAM = "from archbench.cli.main import main; main()"


def _shell(arguments: Sequence[str], *, streams: str) -> subprocess.CompletedProcess[bytes]:
    """A command line in a shell that opens or closes streams as it is told."""
    command = ["sh", "-c", f'exec "$0" "$@" {streams}', sys.executable, "-c", _PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("streams", "code", "message"),
    [
        pytest.param(
            ">/dev/full", 4, "stdout: the result cannot be written (No", marks=needs_full_device
        ),
        (">&-", 4, "stdout: the result cannot be written (Bad"),
        pytest.param("2>/dev/full", 0, "", marks=needs_full_device),
        ("2>&-", 0, ""),
        ("<&- 2>&-", 0, ""),
    ],
)
def test_a_stream_that_takes_nothing_is_told_by_the_exit_code(
    streams: str, code: int, message: str
) -> None:
    ended = _shell(["space", "list"], streams=streams)
    assert ended.returncode == code
    assert message in ended.stderr.decode()
    assert b"Traceback" not in ended.stderr
    assert (b"quickstart" in ended.stdout) is (code == 0)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_an_encoding_that_lacks_our_signs_gets_others(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    for arguments in (["report", "nobody–±…"], ["space", "list"], ["space", "list", "--json"]):
        ended = _shell(arguments, streams="")
        assert ended.returncode == (4 if arguments[0] == "report" else 0), ended.stderr
        (ended.stdout + ended.stderr).decode(encoding)


@pytest.mark.parametrize(
    "arguments",
    [["report", "a" * 400], ["profile", "a" * 400], ["space", "show", "a" * 400 + ".yaml"]],
)
def test_a_name_too_long_for_a_file_is_wrong_usage(arguments: list[str]) -> None:
    ended = _shell(arguments, streams="")
    assert ended.returncode == 2
    assert b"255 bytes" in ended.stderr
