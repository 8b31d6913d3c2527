"""How do published weights come from the model hub: whole or not at all, or soon refused?"""

import os
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from archbench.cache_folder import cache_folder
from archbench.errors import MissingError, StorageError, UsageError, WeightsError
from archbench.models.catalogue import entry, published, published_names
from archbench.models.network import Written, as_spec
from archbench.models.spec import ArchSpec
from archbench.models.weights.header import own_spec
from archbench.models.weights.load import convert_weights
from archbench.models.weights.skeleton import differing_fields
from archbench.models.weights.weight_file import MAX_BYTES, read_weights
from archbench.progress import Progress, no_progress

HUB = "https://huggingface.co"
FILES = ("model.safetensors", "pytorch_model.bin")
PATIENCE_S = 3.0
"""Seconds until the first byte, and between any two: a command is refused within five."""
_PIECE = 2**20


class Fetched(NamedTuple):
    """Published weights in a file of ours, and their address; none if they were there already."""

    path: Path
    url: str


def hub_address(environment: Mapping[str, str] = os.environ) -> str:
    """The address of the hub: ``ARCHBENCH_HUB`` where it is set, for a mirror.

    Raises:
        UsageError: It is set to something else than a web address.
    """
    address = environment.get("ARCHBENCH_HUB") or HUB
    if urlsplit(address).scheme not in ("http", "https"):
        raise UsageError(
            f"{address!r} is not a web address", place="ARCHBENCH_HUB", help=f"as in {HUB}"
        )
    return address.rstrip("/")


def fetch_weights(
    written: Written,
    *,
    folder: Path | None = None,
    patience_s: float = PATIENCE_S,
    on_progress: Progress | None = None,
) -> Fetched:
    """The published weights of a network as a file of ours, fetched where they are not kept yet.

    The file's header says where they came from and the sha256 of what was fetched. A spec may
    differ from a published one in its resolution alone. They are kept in ``weights`` of the user's
    cache folder by default; ``patience_s`` are the seconds to wait for the first byte, and for any
    other; ``on_progress`` is told what is fetched, the bytes so far and in all.

    Raises:
        UsageError: The network is no published one, or nobody published weights for it.
        MissingError: They could not be fetched; nothing is left behind.
        WeightsError: What was fetched does not fit or is damaged.
        StorageError: The folder cannot be written.
    """
    name, repository = _published(as_spec(written))
    if kept := weights_kept(name, folder=folder):
        return Fetched(kept, "")
    folder = folder or cache_folder() / "weights"
    path = folder / f"{name}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".fetch-", dir=folder) as temporary:
            url, file = _first(
                [f"{hub_address()}/{repository}/resolve/main/{file}" for file in FILES],
                folder=Path(temporary),
                patience_s=patience_s,
                on_progress=on_progress or no_progress,
            )
            try:
                convert_weights(file, path, model=name, origin=url)
            except WeightsError as error:
                raise WeightsError(error.message, place=url, help=error.help) from None
    except OSError as error:
        raise StorageError(f"cannot write: {error.strerror}", place=str(folder)) from error
    return Fetched(path, url)


def weights_kept(name: str, *, folder: Path | None = None) -> Path | None:
    """The file of a published network's weights where they were fetched to; None without one.

    One that is damaged is none.
    """
    path = (folder or cache_folder() / "weights") / f"{name}.safetensors"
    with suppress(MissingError, WeightsError):
        kept = own_spec(read_weights(path))
        if kept is not None and kept.digest == published(name).digest:
            return path
    return None


def _published(spec: ArchSpec) -> tuple[str, str]:
    """The name of a published network, at whatever resolution, and where its weights lie."""
    original = published(spec.name) if spec.name in published_names() else None
    if (
        original is None
        or original.num_classes != spec.num_classes
        or differing_fields(original, spec)
    ):
        raise UsageError(
            f"there are published weights only for networks as published, not for "
            f"{spec.name or 'this one'}",
            help="archbench models lists those that are published",
        )
    repository = entry(spec.name).hub
    if repository is None:
        known = [other for other in published_names() if entry(other).hub]
        raise UsageError(
            f"no published weights are known for {spec.name}", help=f"known: {', '.join(known)}"
        )
    return spec.name, repository


def _first(
    urls: list[str], *, folder: Path, patience_s: float, on_progress: Progress
) -> tuple[str, Path]:
    """The first address that the hub has, and its content, which is there whole."""
    for url in urls:
        response = _opened(url, patience_s)
        if response is None:
            continue
        path = folder / url.rpartition("/")[2]
        with response:
            _download(response, path, on_progress=on_progress, url=url)
        return url, path
    raise _unreachable(urls[0], "the hub has no such file")


def _download(response: HTTPResponse, path: Path, *, on_progress: Progress, url: str) -> None:
    if urlsplit(response.url).scheme != urlsplit(url).scheme:
        raise _unreachable(url, "it hands on to an address that is not safe")
    length = response.headers.get("Content-Length", "")
    total, done = int(length) if length.isdecimal() else 0, 0
    if total > MAX_BYTES:
        raise _unreachable(url, f"{total:,} bytes are more than any network here has")
    try:
        with open(path, "wb") as file:
            while piece := response.read1(_PIECE):
                done += len(piece)
                if done > MAX_BYTES:
                    raise _unreachable(url, "it does not end")
                file.write(piece)
                on_progress(f"fetching {urlsplit(url).path.split('/')[2]}", done, max(done, total))
    except (TimeoutError, ConnectionError, HTTPException) as error:
        raise _unreachable(url, f"it broke off: {_reason(error)}") from error
    if total and done != total:
        raise _unreachable(url, f"it ended after {done:,} of {total:,} bytes")


def _opened(url: str, patience_s: float) -> HTTPResponse | None:
    """The answer to a request, or None where the file is not there.

    In a thread of its own, as neither the search for a name nor a list of addresses that are
    silent, one after the other, has a time limit.
    """
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            request = Request(url, headers={"User-Agent": "archbench"})  # noqa: S310  ours
            answers.put(urlopen(request, timeout=patience_s))  # noqa: S310
        except (OSError, HTTPException, ValueError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=patience_s)
    except queue.Empty:
        answer = TimeoutError()
    if isinstance(getattr(answer, "reason", answer), TimeoutError):
        raise _unreachable(url, f"no answer within {patience_s:g} s") from None
    if isinstance(answer, HTTPError):
        answer.close()  # it holds the connection
        # The hub answers 401 for what does not exist, as for what is private.
        if answer.code in (401, 403, 404):
            return None
    if isinstance(answer, Exception):
        raise _unreachable(url, _reason(answer)) from answer
    return answer


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or type(error).__name__


def _unreachable(url: str, reason: str) -> MissingError:
    return MissingError(
        f"the weights could not be fetched: {reason}",
        place=url,
        help="look to the network; or fetch the file elsewhere and convert it: "
        "archbench weights convert FILE OUT --model NAME",
    )
