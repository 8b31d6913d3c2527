"""``archbench watch`` and ``serve``: how they end; what they show is tested with the report."""

import socket
from pathlib import Path

from tests.cli.conftest import Run
from tests.cli.stored import write_study


def test_watch_ends_with_the_search_and_tells_what_it_found(run: Run, tmp_path: Path) -> None:
    code, out, err = run("watch", str(write_study(tmp_path / "toy", trials=6)))
    assert code == 0
    assert out.startswith("Take trial ")
    assert "toy: 6 trials" in out
    assert err.startswith("toy  6 of 6 trials  nobody works on it now\n")


def test_a_port_that_is_taken_is_said(run: Run, tmp_path: Path) -> None:
    study = write_study(tmp_path / "toy", trials=1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = run("serve", str(study), "--port", str(port))
    assert code == 2
    assert f"port {port} cannot be had" in err
