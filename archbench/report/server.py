"""How is the page of a study shown while its search runs: a server for this machine alone."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from archbench.errors import ArchbenchError
from archbench.report.findings.standing import stamp, standing
from archbench.report.html import Markup, html, shell
from archbench.report.study_page import study_page
from archbench.report.summary import Summary

LOOPBACK = "127.0.0.1"


class PageServer(ThreadingHTTPServer):
    """Serves one page, read-only, at an address that holds a token drawn for this server.

    Who does not know the token gets nothing, so other users of the machine and other pages in the
    browser do not read it. Requests by a name that is not this machine's are refused, or a name
    that a stranger's server points here would make the page the stranger's.
    """

    daemon_threads = True

    def __init__(self, page: Callable[[], bytes], *, port: int = 0) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.page = page
        self.path = f"/{secrets.token_urlsafe(16)}/"
        self.hosts = {f"{host}:{self.server_port}" for host in (LOOPBACK, "localhost")}

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}{self.path}"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "archbench", ""

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing: the address in it is a secret, and the terminal is for the person."""

    def _answer(self, *, has_body: bool) -> None:
        is_ours = self.headers.get("Host") in self.server.hosts
        if not is_ours or not secrets.compare_digest(self.path.encode(), self.server.path.encode()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        content = self.server.page()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if has_body:
            self.wfile.write(content)


class LivePage:
    """The page of a study as it stands, made anew when something was written into the study."""

    def __init__(self, path: Path, *, renewed_s: int) -> None:
        self._path, self._renewed_s = path, renewed_s
        self._lock = Lock()  # matplotlib draws one figure at a time
        self._stamp: tuple[object, ...] = ()
        self._content = b""

    def __call__(self) -> bytes:
        """The page; of a study that cannot be read now it says why, and is asked for again."""
        with self._lock:
            now = stamp(self._path)
            if now != self._stamp:
                self._content, self._stamp = self._made().encode(), now
            return self._content

    def _made(self) -> Markup:
        try:
            found = standing(self._path)
            return study_page(Summary(found.study), standing=found, renewed_s=self._renewed_s)
        except ArchbenchError as error:
            return shell(self._path.name, html("<p>{}</p>", str(error)), renewed_s=self._renewed_s)
