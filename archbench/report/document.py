"""How is a plain document written as YAML that anybody can paste into a space file."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report.html import spelt_out

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n"}
_WIDTH = 96
_OPEN = frozenset({"stages"})  # lists whose items get lines of their own, however short


def to_yaml(document: Mapping[str, Any]) -> str:
    """The document in block style, its innermost parts in flow style where they fit a line.

    YAML 1.2 and 1.1 readers agree on every scalar: text that either takes for something else is
    quoted, and an exponent has a point and a sign.

    >>> print(to_yaml({"stages": [{"embed": {"kind": "conv"}, "dim": 64}], "rate": 1e-5}), end="")
    stages:
      - embed: {kind: conv}
        dim: 64
    rate: 1.0e-05
    """
    return "".join(f"{line}\n" for line in _lines(document)) or "{}\n"


def to_flow(value: Any) -> str:
    """The value on one line in flow style."""
    if isinstance(value, Mapping):
        pairs = (f"{_scalar(key)}: {to_flow(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if _is_sequence(value):
        return f"[{', '.join(to_flow(item) for item in value)}]"
    return _scalar(value)


def to_words(value: Any) -> str:
    """The value on one line for a person: text as it is, all else in flow style."""
    return value if isinstance(value, str) else to_flow(value)


def facts_of(content: Mapping[str, Any]) -> dict[str, str]:
    """What a document says, name by name, in words: sizes in GiB, floats to four digits."""
    facts = {}
    for key, value in content.items():
        name = str(key).removesuffix("_bytes").replace("_", " ")
        is_size = str(key).endswith("_bytes") and isinstance(value, int | float)
        facts[name] = f"{value / 2**30:.1f} GiB" if is_size else in_words(value)
    return facts


def in_words(value: object) -> str:
    """A value in words; empty where it says nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(item)}" for key, item in value.items())
    if isinstance(value, str) or value is None:
        return value or ""
    if isinstance(value, list | tuple) and any(isinstance(item, str) for item in value):
        return "; ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else to_flow(value)


def _lines(document: Mapping[Any, Any] | Sequence[Any], *, is_open: bool = False) -> list[str]:
    """A mapping or a sequence in block style; of an open sequence each mapping, too."""
    lines = []
    is_mapping = isinstance(document, Mapping)
    items = document.items() if isinstance(document, Mapping) else [(None, i) for i in document]
    for key, value in items:
        name = f"{_scalar(key)}:" if is_mapping else "-"
        flow = to_flow(value)
        is_part = key in _OPEN if is_mapping else is_open and isinstance(value, Mapping)
        if not _is_block(value, width=len(name) + 1 + len(flow), is_open=is_part):
            lines.append(f"{name} {flow}")
            continue
        inner = _lines(value, is_open=is_part and is_mapping)
        lines += [name] if is_mapping else [f"- {inner.pop(0)}"]
        lines += [f"  {line}" for line in inner]
    return lines


def _is_block(value: Any, *, width: int, is_open: bool) -> bool:
    """Whether a part gets lines of its own: open ones, long ones, and those with parts within."""
    if not value or not (isinstance(value, Mapping) or _is_sequence(value)):
        return False
    if is_open or width > _WIDTH:
        return True
    children = value.values() if isinstance(value, Mapping) else value
    return any(isinstance(child, Mapping) and child for child in children)


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
        digits, exponent, power = repr(value).partition("e")
        return f"{digits}{'' if '.' in digits else '.0'}{exponent}{power}"
    if value is None or isinstance(value, int):
        return json.dumps(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    escaped = (
        _ESCAPES.get(sign) or (sign if sign.isprintable() else spelt_out(sign)) for sign in text
    )
    return f'"{"".join(escaped)}"'
