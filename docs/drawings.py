"""Draw the pictures of ``docs/front.md``: ``python docs/drawings.py`` writes three SVG files.

Two show the recorded study; that of luck is a sketch with chance of its own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import archbench

HERE = Path(__file__).parent
STUDY = HERE.parent / "results" / "quickstart-recorded"
WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 464, 20, 252
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #222 } .ground { fill: #fff }
  .axis { stroke: #777 } .note { fill: #666 } .other { fill: #999 } .bar { stroke: #0b62b4 }
  .front { fill: #0b62b4 } .stairs { stroke: #0b62b4; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #eee } .ground { fill: #1e2129 } .axis { stroke: #999 } .note { fill: #aaa }
    .other { fill: #888 } .bar, .stairs { stroke: #6cb6ff } .front { fill: #6cb6ff } }
"""
Scale = Callable[[float], float]


def front(study: archbench.StudyReader) -> str:
    """Every trained design by latency and accuracy, and the stairs of those that none beats."""
    x, y = _log(0.5, 2.2, LEFT, RIGHT), _linear(0.4, 0.82, BOTTOM, TOP)
    tables = study.tables()
    others, corners = (
        [(x(a), y(b)) for a, b in tables[name][["latency_ms", "proxy_accuracy"]].values]
        for name in ("trials", "front")
    )
    stairs = f"M{corners[0][0]:.1f} {BOTTOM}V{corners[0][1]:.1f}"
    stairs += "".join(f"H{a:.1f}V{b:.1f}" for a, b in corners[1:]) + f"H{RIGHT}"
    return _picture(
        "Accuracy against latency of the trained designs, with the stairs of the front.",
        _axes(x, y, (0.5, 0.7, 1.0, 1.4, 2.0), (0.4, 0.5, 0.6, 0.7, 0.8)),
        *(_dot(a, b, "other") for a, b in others),
        f'<path class="stairs" d="{stairs}"/>',
        *(_dot(a, b, "front") for a, b in corners),
        _text(250, 200, "grey: another design is both", "note"),
        _text(250, 217, "faster and more accurate", "note"),
    )


def confidence(study: archbench.StudyReader) -> str:
    """The members of the front with their 95 % intervals and their probability to belong there."""
    x, y = _log(0.51, 0.72, LEFT, RIGHT), _linear(0.67, 0.83, BOTTOM, TOP)
    parts = []
    for one in study.front().itertuples():
        a, b = x(one.latency_ms), y(one.proxy_accuracy)
        half = 1.96 * one.accuracy_standard_error
        low, high = y(one.proxy_accuracy - half), y(one.proxy_accuracy + half)
        ends = (x(one.latency_low_ms), x(one.latency_high_ms))
        parts.append(_line(a, low, a, high, "bar") + _line(ends[0], b, ends[1], b, "bar"))
        parts.append(_dot(a, b, "front"))
        parts.append(_text(a + 6, low + 4, f"{100 * one.front_probability:.0f} %", ""))
    return _picture(
        "The members of the front, with intervals that overlap and their probabilities.",
        _axes(x, y, (0.55, 0.6, 0.65, 0.7), (0.7, 0.75, 0.8)),
        *parts,
        _text(250, 240, "probability to belong on the front", "note"),
    )


def luck(_study: archbench.StudyReader) -> str:
    """Equal designs, each trained once: the best of them looks better than it is."""
    chance = random.Random(5)
    seen = [chance.gauss(0, 1) for _ in range(14)]
    y = _linear(-2.6, 2.6, BOTTOM, TOP)
    best = max(range(len(seen)), key=seen.__getitem__)
    places = [LEFT + 20 + 20 * number for number in range(len(seen))]
    parts = [_dot(a, y(b), "other") for a, b in zip(places, seen, strict=True)]
    a, b = places[best], y(seen[best])
    end = places[-1] + 24
    return _picture(
        "Fourteen equal designs scatter about the same true accuracy; the best one was lucky.",
        _line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis") + _line(LEFT, TOP, LEFT, BOTTOM, "axis"),
        _line(LEFT, y(0), RIGHT, y(0), "stairs"),
        *parts,
        _dot(a, b, "front"),
        _line(a, b, end, b, "bar") + _line(end, b, end, y(0), "bar"),
        _text(end + 6, (b + y(0)) / 2 + 4, "luck", ""),
        _text(end - 2, b - 8, "the best as seen", ""),
        _text(RIGHT, y(0) + 18, "true accuracy", "note", "end"),
        _text(LEFT + 6, TOP - 4, "accuracy", "note"),
        _text(LEFT, HEIGHT - 12, "fourteen designs, each trained once", "note"),
    )


def _picture(title: str, *parts: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    ground = f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    size = f'width="{WIDTH}" height="{HEIGHT}">'
    style = f"<title>{title}</title>\n<style>{STYLE}</style>"
    return "\n".join((f"{head} {size}", style, ground, *parts, "</svg>\n"))


def _axes(x: Scale, y: Scale, ms: Iterable[float], shares: Iterable[float]) -> str:
    parts = [_line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"), _line(LEFT, TOP, LEFT, BOTTOM, "axis")]
    parts += [_text(x(value), BOTTOM + 18, f"{value:g}", "note", "middle") for value in ms]
    for share in shares:
        parts.append(_text(LEFT - 6, y(share) + 4, f"{100 * share:.0f} %", "note", "end"))
    parts.append(_text(RIGHT, HEIGHT - 8, "latency, ms", "note", "end"))
    parts.append(_text(LEFT + 6, TOP - 4, "accuracy", "note"))
    return "\n".join(parts)


def _dot(x: float, y: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>'


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _linear(least: float, most: float, start: float, end: float) -> Scale:
    return lambda value: start + (end - start) * (value - least) / (most - least)


def _log(least: float, most: float, start: float, end: float) -> Scale:
    place = _linear(math.log(least), math.log(most), start, end)
    return lambda value: place(math.log(value))


PICTURES = {"front.svg": front, "confidence.svg": confidence, "luck.svg": luck}

if __name__ == "__main__":
    recorded = archbench.open_study(STUDY)
    for name, draw in PICTURES.items():
        (HERE / name).write_text(draw(recorded), encoding="utf-8")
