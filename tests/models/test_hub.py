"""Published weights are fetched whole, kept, and fetched once; else refused soon and in words."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from archbench.errors import MissingError, UsageError, WeightsError
from archbench.models import build, load_weights
from archbench.models.catalogue import entry, published, published_names
from archbench.models.weights.hub import HUB, fetch_weights, hub_address
from archbench.models.weights.layout import FileForm
from archbench.models.weights.load import describe_weights
from archbench.models.weights.translation import their_tensors

NAME = "levit_128s"
PATH = "/timm/levit_128s.fb_dist_in1k/resolve/main"


class Hub:
    """A hub of its own on this machine: files by path, and the paths that were asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.length: Callable[[bytes], int] = len
        self.redirect = ""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(self.path)
                if hub.redirect:
                    self.send_response(302)
                    self.send_header("Location", hub.redirect)
                    self.end_headers()
                    return
                body = hub.files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(hub.length(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that answers while the test runs."""
    hub = Hub()
    monkeypatch.setenv("ARCHBENCH_HUB", hub.address)
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def weights() -> bytes:
    """LeViT-128S as timm's repository would hold it."""
    tensors = build(NAME, seed=0).state_dict()
    theirs = their_tensors(tensors, name="levit_timm", form=FileForm(), spec=published(NAME))
    return save({name: value.contiguous() for name, value in theirs.items()})


def test_weights_are_fetched_once_and_say_where_from(
    hub: Hub, weights: bytes, tmp_path: Path
) -> None:
    hub.files[f"{PATH}/model.safetensors"] = weights
    told: list[tuple[str, int, int]] = []
    found = fetch_weights(NAME, folder=tmp_path / "w", on_progress=lambda *now: told.append(now))
    assert found.url == f"{hub.address}{PATH}/model.safetensors"
    assert told[-1] == ("fetching levit_128s.fb_dist_in1k", len(weights), len(weights))
    described = describe_weights(found.path)
    assert (described["network"], described["verified"]) == (NAME, True)
    assert described["source"]["url"] == found.url
    assert described["source"]["sha256"] == hashlib.sha256(weights).hexdigest()
    network = build(NAME, seed=1)
    load_weights(network, found.path)
    assert torch.equal(
        network.head.classifiers[0].linear.weight,
        build(NAME, seed=0).head.classifiers[0].linear.weight,
    )
    assert fetch_weights(NAME, folder=tmp_path / "w").url == ""
    assert len(hub.asked) == 1
    assert [path.name for path in (tmp_path / "w").iterdir()] == [f"{NAME}.safetensors"]

    found.path.write_bytes(found.path.read_bytes()[:-1] + b"\1")
    assert fetch_weights(NAME, folder=tmp_path / "w").url
    assert describe_weights(found.path)["verified"]


def test_the_older_file_is_taken_where_there_is_no_newer(
    hub: Hub, weights: bytes, tmp_path: Path
) -> None:
    hub.files[f"{PATH}/pytorch_model.bin"] = weights
    assert fetch_weights(NAME, folder=tmp_path).url.endswith(".bin")
    assert len(hub.asked) == 2


def test_a_download_that_breaks_off_leaves_nothing(
    hub: Hub, weights: bytes, tmp_path: Path
) -> None:
    hub.files[f"{PATH}/model.safetensors"] = weights[:1000]
    hub.length = lambda body: len(weights)
    with pytest.raises(MissingError, match=r"ended after 1,000 of|broke off"):
        fetch_weights(NAME, folder=tmp_path, patience_s=0.5)
    assert list(tmp_path.iterdir()) == []


def test_other_weights_and_pages_are_refused_and_leave_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.files[f"{PATH}/model.safetensors"] = b"<html>please log in</html>"
    with pytest.raises(WeightsError, match=r"model\.safetensors: neither a safetensors file nor"):
        fetch_weights(NAME, folder=tmp_path)
    tensors = build("levit_128").state_dict()
    theirs = their_tensors(tensors, name="levit_timm", form=FileForm(), spec=published("levit_128"))
    hub.files[f"{PATH}/model.safetensors"] = save(theirs)
    with pytest.raises(WeightsError, match="left over: 75 tensors"):
        fetch_weights(NAME, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_or_claims_to_be_huge_is_not_fetched(
    hub: Hub, tmp_path: Path
) -> None:
    with pytest.raises(MissingError, match="the hub has no such file"):
        fetch_weights(NAME, folder=tmp_path)
    hub.files[f"{PATH}/model.safetensors"] = b""
    hub.length = lambda body: 2**50
    with pytest.raises(MissingError, match="more than any network here has"):
        fetch_weights(NAME, folder=tmp_path)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1:1/a"])
def test_nothing_is_fetched_from_elsewhere_than_the_web(
    address: str, hub: Hub, tmp_path: Path
) -> None:
    hub.redirect = address
    with pytest.raises(MissingError, match="could not be fetched"):
        fetch_weights(NAME, folder=tmp_path, patience_s=0.5)
    with pytest.raises(UsageError, match="is not a web address"):
        hub_address({"ARCHBENCH_HUB": address})


def test_a_closed_door_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there
        monkeypatch.setenv("ARCHBENCH_HUB", f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(MissingError, match="Connection refused") as refused:
            fetch_weights(NAME, folder=tmp_path)
    assert "archbench weights convert FILE OUT --model NAME" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_silence_is_an_error_within_the_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ARCHBENCH_HUB", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(MissingError, match=r"no answer within 0.3 s|timed out"):
            fetch_weights(NAME, folder=tmp_path, patience_s=0.3)
        assert time.monotonic() - began < 4


def test_the_hub_is_named_in_one_place(tmp_path: Path) -> None:
    assert hub_address({}) == HUB
    assert hub_address({"ARCHBENCH_HUB": "https://hub.example.org/"}) == "https://hub.example.org"
    hubs = {name: entry(name).hub for name in published_names() if entry(name).hub}
    assert {"levit_128s", "cvt_13", "deit_tiny"} <= set(hubs)
    assert len(set(hubs.values())) == len(hubs)
