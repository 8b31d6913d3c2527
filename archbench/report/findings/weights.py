"""Whose weights are in a file, and what became of them?"""

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report.element import Code, Part, ReportTable
from archbench.report.finding import Finding

_SHOWN = 12


def converted(document: Mapping[str, Any], *, was: str, is_now: str, next_step: str) -> Finding:
    """Weights in another layout, their positions interpolated from one resolution to another."""
    tables, fresh = len(document["interpolated"]), len(document["fresh"])
    what = f"weights of {document['network'] or 'the network'}"
    lines = [
        f"{document['file']}: {what}, {document['read_layout']} -> {document['layout']}",
        *_taken(document),
        f"sha256:  {document['sha256']}",
        f"interpolated from {was} to {is_now}: {tables} tables" if tables else "",
        f"fresh for {document['spec']['num_classes']} classes: {fresh} tensors" if fresh else "",
    ]
    return Finding(document, [Code("\n".join(filter(None, lines)))], next_step)


def _taken(document: Mapping[str, Any]) -> list[str]:
    """Which set of weights was taken where a file has several, and what of it was passed over."""
    others, ignored = document["other_keys"], document["ignored"]
    lines = []
    if others:
        lines.append(f"read:    {_plain(document['key'])}; --key takes another: {_listed(others)}")
    if ignored:
        lines.append(f"ignored: {_few(ignored)}")
    return lines


def _few(names: Sequence[str]) -> str:
    """The first few names of what was passed over, as it is no weight."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{_listed(names[:5])}{more}, as no weights"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_plain, names))


def _plain(name: str) -> str:
    """A name from a file, which may be anything, as it can be printed."""
    return name if name.isprintable() else ascii(name)


def description(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """Whose names are in a file, of which network, and whether it is whole."""
    tensors, source = document["tensors"], document["source"]
    size = document["sets"][document["key"]]
    of = document["network"] or " or ".join(document["same_size"][:3]) or "not a published one"
    whole = "agrees with the sha256 of weights and spec in its header"
    guess = "" if document["network"] else ", to judge by the number of parameters"
    head = f"{document['file']}: weights of {of} in {document['title']} names{guess}"
    lines = [
        f"layout   {document['layout']} ({document['title']} names), {document['kind']}",
        f"size     {len(tensors)} tensors, {size['parameters']:,} parameters, {size['bytes']:,} "
        f"bytes; the file {document['bytes']:,} bytes",
        f"sha256   {document['sha256']}",
        f"content  {whole if document['verified'] else 'holds no sha256 to check'}",
    ]
    if source:
        came = source.get("url") or source.get("file") or ""
        lines.append(f"source   {came} ({source.get('layout')})")
        lines.append(f"         sha256 {source.get('sha256')}")
    if document["ignored"]:
        lines.append(f"ignored  {_few(document['ignored'])}")
    sets = [
        {"set": _plain(key), **{word: f"{value:,}" for word, value in size.items()}}
        for key, size in list(document["sets"].items())[:_SHOWN]
    ]
    several = [ReportTable(sets, align="lrrr")] if len(document["sets"]) > 1 else []
    if several:
        lines.insert(0, f"set      {_plain(document['key'])}; --key shows another")
    rows = [
        {"tensor": _plain(name), "shape": "x".join(map(str, entry["shape"])), "type": entry["type"]}
        for name, entry in list(tensors.items())[:_SHOWN]
    ]
    more = len(tensors) - _SHOWN
    notes = [f"and {more} more: --json lists all"] if more > 0 else []
    shown = ReportTable(rows, align="lrl", notes=notes)
    parts: list[Part] = [head, Code("\n".join(lines)), *several, shown]
    return Finding(document, parts, next_step)


def fetched(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """Where published weights lie now."""
    return Finding(document, [Code(document["file"])], next_step)
