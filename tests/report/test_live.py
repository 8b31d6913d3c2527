"""A study is seen while its search runs: in a terminal, and on a page for this machine alone."""

import http.client
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.report.findings.standing import Standing, stamp, standing
from archbench.report.number import duration
from archbench.report.server import LivePage, PageServer
from archbench.study.database import Store
from archbench.study.study_folder import ownership
from tests.cli.stored import write_study

from . import plausible


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "toy", trials=6)


@pytest.fixture
def server(study: Path) -> Iterator[PageServer]:
    with PageServer(LivePage(study, renewed_s=2)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(server: PageServer, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_only_who_has_the_address_gets_the_page(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    code, text = asked(server, server.path)
    assert code == 200
    assert "<h1>toy</h1>" in text
    assert "data-renewed" not in text, "nobody works on it, so it does not change"
    for path in ("/", "/x/", f"{server.path}../study.db", server.path[:-1]):
        assert asked(server, path)[0] == 404
    assert asked(server, server.path, Host=f"stranger.example:{server.server_port}")[0] == 404
    assert asked(server, server.path, method="POST")[0] == 501


def test_the_page_is_made_anew_when_something_was_written(server: PageServer, study: Path) -> None:
    with ownership(study), Store.open(study / "study.db") as store:
        first = asked(server, server.path)[1]
        assert 'data-renewed="2"' in first
        assert "connect-src &#39;self&#39;" in first or "connect-src 'self'" in first
        assert asked(server, server.path)[1] == first
        store.update(0, test_accuracy=0.5)
        assert asked(server, server.path)[1] != first


def test_a_study_that_became_unreadable_is_said_and_asked_for_again(
    server: PageServer, study: Path
) -> None:
    os.truncate(study / "study.db", 0)
    code, text = asked(server, server.path)
    assert code == 200
    assert 'data-renewed="2"' in text
    assert "study.db" in text


def test_it_says_what_runs_and_how_far_it_is(study: Path) -> None:
    quiet, before = standing(study), stamp(study)
    assert quiet.headline() == "toy  6 of 6 trials  nobody works on it now"
    assert "the front so far" in quiet.lines()
    with ownership(study):
        assert standing(study).is_running
        assert stamp(study) != before
    records = plausible.trials(5)
    begun = replace(records[4], state="running", proxy_accuracy=None, curve=records[4].curve[:1])
    head = plausible.header(trials=7)
    running = Standing(plausible.study(records=[*records[:4], begun], head=head), is_running=True)
    spent = sum(record.seconds for record in records[:4]) / 4
    assert running.headline().startswith("quickstart  4 of 7 trials  about ")
    assert running.headline().endswith(f"{duration(3 * spent)} of trials left")
    assert running.lines()[0].startswith("trial 4  ")
    reached = f"{100 * begun.curve[0].accuracy:.1f} %"
    assert running.lines()[0].endswith(f" ms, training, {reached} after 2 epochs")
