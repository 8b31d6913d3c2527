"""What is around the content of every page: its head, its look, its policy, its script."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from archbench.report.html import Markup, html, one_line


def shell(title: str, body: Markup) -> Markup:
    """A whole page as HTML.

    Nothing in it can reach the network: its policy forbids every request, and of all scripts
    allows the page's own by its digest alone.
    """
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return html(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n'
        "<title>{} · archbench</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{}\n</main>\n"
        "<script>{}</script>\n</body>\n</html>\n",
        Markup(policy),
        one_line(title, length=80),
        Markup(_asset("page.css")),
        body,
        Markup(script),
    )


def _asset(name: str) -> str:
    return resources.files("archbench.report").joinpath(name).read_text(encoding="utf-8")
