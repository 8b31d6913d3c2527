"""What does an ablation say: what does each choice of a network cost, and what does it buy?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from archbench.analysis.ablation import AblationRecord, Difference, FormRecord
from archbench.command_line import command_line, named_in_results
from archbench.report import number
from archbench.report.document import to_words, to_yaml
from archbench.report.element import Cell, Code, FactList, Lines, Part, ReportTable, fold, plot
from archbench.report.figure import PALETTE, axes_in_inches, drawable, style
from archbench.report.finding import Finding, page, taken_under
from archbench.report.html import Markup, html, one_line
from archbench.report.text import filled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_VALUE = 19
_CHANGES = {
    "params": "parameters, difference",
    "MACs": "MACs, difference",
    "latency, ms": "latency, ms, 95 % interval",
    "accuracy, points": "accuracy, points, 95 % interval",
}
_ROW, _TOP, _BOTTOM, _SIDE, _GAP = 0.44, 0.12, 0.5, 0.12, 0.4  # inches
_SIDE_BY_SIDE_FROM, _LETTER = 6.0, 0.068  # inches, that of a letter about


def finding(found: AblationRecord) -> Finding:
    """The largest differences, all of them, for a paper its signs, then the base."""
    base, legal = found.base, [form for form in found.forms if form.state != "illegal"]
    largest = _largest(found)
    rest = [form for form in legal if form.state != "base" and form not in largest]
    cannot = [f"{form.name}: {form.reason}" for form in found.forms if form.state == "illegal"]
    go_on = command_line("archbench", "ablate", *named_in_results(found.path), "--resume")
    unseen = any(form.finding.startswith("no difference") for form in found.forms)
    step = f"{go_on} --seeds {2 * found.num_seeds}" if unseen else ""
    return Finding(
        found.document(),
        [
            _verdict(found),
            _effects(legal, base=base),
            Lines([f"{f.name}: {sentence(f, base=base)}" for f in rest]),
            _beside_the_paper(found),
            Lines(["cannot be built:", *cannot] if cannot else []),
            _opening(found),
            *map(str, [found.header["method"], *found.header["notes"]]),
        ],
        step if found.num_done == found.num_trainings else go_on,
        page=lambda: _page(found, legal),
        plot=("effects", lambda: effect_figure(found)),
    )


def _page(found: AblationRecord, legal: Sequence[FormRecord]) -> Markup:
    header = found.header
    diamonds = " Green diamonds: what the paper prints." if header["paper"] else ""
    drawn = plot(
        lambda width: effect_figure(found, width_inches=width),
        title=f"{found.name}: differences to the base",
        caption="Differences to the base with 95 % intervals. Blue: better; orange: worse; grey: "
        f"no resolvable difference.{diamonds}",
    )
    illegal = {form.name: form.reason for form in found.forms if form.state == "illegal"}
    left = found.num_trainings - found.num_done
    method = [*map(str, [header["method"], *header["notes"]])]
    return page(
        "ablation",
        name=found.name,
        badge=f"{found.num_done} of {found.num_trainings} trainings" if left else "",
        question=f"One factor at a time from {_base_name(found)}; {training_text(found)}",
        verdict=_verdict(found),
        key_figures=_key_figures(found.base),
        sections={
            "effects": ("Effects", [drawn, _effects(legal, base=found.base)]),
            "paper": ("Beside the paper", [_beside_the_paper(found)]),
            "illegal": ("What cannot be built", [FactList(illegal, css="meaning")]),
            "forms": ("The networks", _forms(found)),
            "conditions": ("Conditions", taken_under(header, {"Latency": header["conditions"]})),
            "method": ("What the numbers mean", method),
        },
        begun=header["created"],
    )


def training_text(found: AblationRecord) -> str:
    """On what the accuracies were taken, in one sentence."""
    proxy = found.proxy
    scale = float(proxy["scale"])
    width = "" if scale == 1 else f", widths x {scale:g}"
    stem = "" if proxy["stem"] == "keep_grid" else ", the stem as it is"
    teacher = proxy["recipe"].get("teacher", "none")
    taught = "" if teacher == "none" else f", taught by a {teacher} network"
    return (
        f"accuracy: {number.plural(found.num_seeds, 'seed')} of "
        f"{number.plural(int(proxy['epochs']), 'epoch')} on {proxy['data']} at "
        f"{proxy['resolution']} px{width}{stem}{taught}"
    )


def _base_name(found: AblationRecord) -> str:
    return str((found.base.spec or {}).get("name") or found.base.digest)


def _opening(found: AblationRecord) -> Code:
    base, latency = found.base, found.base.latency
    left = found.num_trainings - found.num_done
    reached, timed = "not trained yet", ""
    if base.accuracy is not None:
        seeds = number.in_percent(base.accuracies.values())
        reached = f"{number.percent(base.accuracy)} of the validation images (by seed: {seeds})"
    if latency is not None and latency.value is None:
        timed = f", no latency: {latency.reason}"
    elif latency is not None:
        disturbed = "" if latency.verdict == "stable" else f" ({latency.verdict})"
        timed = f", {number.measured(latency)} ms{disturbed}"
    missing = f"{number.plural(left, 'training')} of {found.num_trainings} are left\n"
    lines = [
        f"{found.name}: one factor at a time from {_base_name(found)}",
        (missing if left > 0 else "") + filled(training_text(found)),
        "",
        f"base  {base.params:,} parameters, {base.macs:,} MACs{timed}",
        f"      {reached}",
    ]
    return Code("\n".join(lines))


def _verdict(found: AblationRecord) -> str:
    known = {form.name: form for form in found.forms if form.accuracy_difference is not None}
    if not known:
        return "Nothing has been compared yet."
    seen = [f for f in known.values() if (d := f.accuracy_difference) and d.is_seen]
    largest = [f"{form.name}: {sentence(form, base=found.base)}." for form in _largest(found)]
    changes, seeds = number.plural(len(known), "change"), number.plural(found.num_seeds, "seed")
    told = f"Significant differences in accuracy: {len(seen)} of {changes}, with {seeds}."
    return " ".join(filter(None, [told, *largest, _signs_text(found)]))


def _largest(found: AblationRecord) -> list[FormRecord]:
    """The two forms with the largest differences in accuracy that are seen."""
    sizes = [
        (abs(difference.value), form)
        for form in found.forms
        if (difference := form.accuracy_difference) and difference.is_seen
    ]
    return [form for _, form in sorted(sizes, key=lambda entry: -entry[0])[:2]]


def _key_figures(base: FormRecord) -> list[tuple[str, str, str]]:
    entries = [
        ("parameters of the base", f"{base.params:,}", number.short(base.params)),
        ("MACs of the base", f"{base.macs:,}", number.short(base.macs)),
    ]
    if base.latency and (text := number.alone(base.latency)):
        entries.append(("latency of the base", f"{text} ms", base.latency.verdict))
    if base.accuracy is not None:
        seeds = number.plural(len(base.accuracies), "seed")
        entries.append(("accuracy of the base", number.percent(base.accuracy), seeds))
    return entries


def sentence(form: FormRecord, *, base: FormRecord) -> str:
    """What the factor buys, and what it costs."""
    bought, found = form.finding, form.accuracy_difference
    if found is not None and found.is_seen:
        low, high = sorted(abs(100 * (end or 0)) for end in (found.low, found.high))
        bought = f"{100 * abs(found.value):.1f} points {bought} ({low:.1f} to {high:.1f})"
    return "; ".join(filter(None, [bought, *_costs(form, base=base), form.reason]))


def _costs(form: FormRecord, *, base: FormRecord) -> list[str]:
    if form.digest == base.digest:
        return ["the same network, trained otherwise"]
    told, time = [], form.latency_difference
    if time is not None and time.is_seen and base.latency and base.latency.value:
        share = 100 * abs(time.value) / base.latency.value
        told.append(f"{share:.2g} % {'slower' if time.value > 0 else 'faster'}")
    elif time is not None:
        told.append("no difference in latency seen")
    more = {"parameters": form.params - base.params, "MACs": form.macs - base.macs}
    told += [
        f"{number.short(abs(count))} {'more' if count > 0 else 'fewer'} {name}"
        for name, count in more.items()
        if count
    ]
    return told or ["at the same cost"]


def _points(difference: Difference | None) -> Cell:
    """A difference in accuracy and its interval, in points: ``-1.3`` and ``(-2.1 to -0.5)``."""
    return _difference(difference, factor=100, least=1)


def _difference(difference: Difference | None, *, factor: float = 1, least: int = 0) -> Cell:
    if difference is None:
        return Cell(value="")
    value, interval, digits = factor * difference.value, "", least
    if difference.low is not None and difference.high is not None:
        low, high = factor * difference.low, factor * difference.high
        digits = max(least, number.decimals((high - low) / 2, value))
        interval = f"({low:+.{digits}f} to {high:+.{digits}f})"
    elif not least:
        return Cell(f"{value:+.2g}", value=difference.value)
    return Cell(f"{value:+.{digits}f}", small=interval, value=difference.value)


def _count(difference: int) -> Cell:
    sign = "+" if difference > 0 else "-" if difference else ""
    return Cell(f"{sign}{number.short(abs(difference))}", value=difference, hint=f"{difference:,}")


def _effects(legal: Sequence[FormRecord], *, base: FormRecord) -> ReportTable:
    """What each form changes; in a terminal a factor is a line of its own above its values."""
    rows: list[Mapping[str, object] | str] = []
    for factor, forms in groupby(legal, key=lambda form: "" if form.paper else form.knob):
        rows += [factor] if factor else []
        for form in forms:
            name = one_line(form.name if form.paper else form.value, length=_LONGEST_VALUE)
            row: dict[str, object] = {
                "change": Cell(f"{'  ' if factor else ''}{name}", full=_label(form)),
                "params": _count(form.params - base.params),
                "MACs": _count(form.macs - base.macs),
                "latency, ms": _difference(form.latency_difference),
                "accuracy, points": _points(form.accuracy_difference),
                "finding": "; ".join(filter(None, [form.finding, form.reason])),
            }
            if form.state == "base":
                row |= dict.fromkeys(_CHANGES, Cell("", value=0))
            if not form.accuracy_difference:
                told, place = ("the base", 0) if form.state == "base" else (form.state, "")
                row["accuracy, points"] = Cell(told, value=place)
            rows.append(row)
    return ReportTable(
        rows,
        align="nrrrrp",
        leaves_out=True,
        titles=_CHANGES,
        page_alone=["finding"],
        is_sortable=True,
    )


def _beside_the_paper(found: AblationRecord) -> ReportTable:
    rows, sources = [], []
    for form in found.forms:
        if paper := form.paper:
            here = (f"{form.params:,}", f"{form.macs:,}") if form.spec else 2 * (number.NOT_THERE,)
            source = f"{paper.source}; {paper.note}" if paper.note else paper.source
            sources.append(f"{_label(form)} ({source})")
            rows.append(
                {
                    "row": Cell(form.name, full=_label(form)),
                    "parameters": f"{here[0]} / {paper.params or number.NOT_THERE}",
                    "MACs": f"{here[1]} / {paper.flops or number.NOT_THERE}",
                    "top-1, %": f"{paper.top1:.1f}",
                    "paper, points": f"{paper.difference:+.1f}",
                    "here, points": _points(form.accuracy_difference),
                    "sign": Cell(paper.sign.partition(" with ")[0], full=paper.sign),
                }
            )
    return ReportTable(
        rows,
        align="nrrrrrl",
        notes=sources,
        titles={
            "parameters": "parameters, here / paper",
            "MACs": "MACs, here / paper",
            "top-1, %": "top-1, paper, %",
            "paper, points": "difference, paper, points",
            "here, points": "difference, here, points",
        },
        page_alone=("parameters", "MACs"),
        is_sortable=True,
    )


def _signs_text(found: AblationRecord) -> str:
    """How many of a paper's signs are confirmed, in one sentence; empty without a paper."""
    signs = Counter(form.paper.sign for form in found.forms if form.paper)
    if not signs:
        return ""
    told = ", ".join(f"{count} {sign}" for sign, count in signs.most_common())
    return f"Of {number.plural(signs.total(), 'row')} of the paper: {told}."


def _forms(found: AblationRecord) -> list[Part]:
    folds: list[Part] = []
    for form in (found.base, *(form for form in found.forms if form.state != "base")):
        words = [f"{number.short(form.params)} parameters", f"{number.short(form.macs)} MACs"]
        if form.latency and form.latency.value is not None:
            words.append(f"{number.measured(form.latency)} ms")
        if form.accuracies:
            words.append(f"accuracy by seed: {number.in_percent(form.accuracies.values())} %")
        if form.spec:
            trained = f"trained with {to_words(dict(form.training))}" if form.training else Markup()
            title = html("<b>{}</b> <span>{}</span>", form.name, ", ".join(words))
            folds.append(fold(title, [trained, Code(to_yaml(form.spec))]))
    return folds


def _label(form: FormRecord) -> str:
    """What is changed: factor and value, or the words of a paper's row behind its name."""
    if form.paper is None:
        return form.name
    row = form.paper.row
    return row if row.lower().startswith(f"{form.name.lower()}:") else f"{form.name}: {row}"


def effect_figure(found: AblationRecord, *, width_inches: float = 8.0) -> Figure | None:
    """Differences to the base with 95 % intervals: accuracy and, beside or below it, latency.

    Blue is better, orange worse, grey no resolvable difference; diamonds are the paper's. None
    where no difference is known yet.
    """
    from matplotlib.figure import Figure

    forms = [form for form in found.forms if form.accuracy_difference or form.latency_difference]
    if not forms:
        return None
    has_latency = any(form.latency_difference for form in forms)
    panels = [_draw_accuracy, *([_draw_latency] if has_latency else [])]
    is_beside = width_inches >= _SIDE_BY_SIDE_FROM
    num_wide, num_high = (len(panels), 1) if is_beside else (1, len(panels))
    rows = _ROW * len(forms)
    each = rows + _TOP + _BOTTOM
    width = (width_inches - 2 * _SIDE - (num_wide - 1) * _GAP) / num_wide
    with style():
        figure = Figure(figsize=(width_inches, num_high * each))
        for index, draw in enumerate(panels):
            column, line = (index, 0) if is_beside else (0, index)
            left, bottom = _SIDE + column * (width + _GAP), (num_high - 1 - line) * each + _BOTTOM
            axes = axes_in_inches(figure, left, bottom, width, rows)
            draw(axes, forms)
            _frame(axes, [] if column else forms, num_rows=len(forms), length=int(width / _LETTER))
    return figure


def _draw_accuracy(axes: Axes, forms: Sequence[FormRecord]) -> None:
    for row, form in enumerate(forms):
        _interval(axes, row, form.accuracy_difference, factor=100)
        if form.paper:
            axes.plot(
                [form.paper.difference], [row], marker="D", ms=5, mfc="none", mew=1.2, ls="none",
                color=PALETTE["reference"], zorder=6, clip_on=False,
            )  # fmt: skip
    axes.set_xlabel("what it buys: validation accuracy, points")


def _draw_latency(axes: Axes, forms: Sequence[FormRecord]) -> None:
    for row, form in enumerate(forms):
        _interval(axes, row, form.latency_difference, factor=1, is_good_up=False)
    axes.set_xlabel("what it costs: latency, ms")


def _interval(
    axes: Axes, row: int, found: Difference | None, *, factor: float, is_good_up: bool = True
) -> None:
    if found is None:
        return
    seen = "front" if (found.value > 0) == is_good_up else "limit"
    colour = PALETTE[seen if found.is_seen else "other"]
    if found.low is not None and found.high is not None:
        ends = [factor * found.low, factor * found.high]
        axes.plot(ends, [row, row], color=colour, lw=2.2, solid_capstyle="butt", zorder=4)
    axes.plot(
        [factor * found.value], [row], marker="o", ms=5.5, color=colour, zorder=5, ls="none",
        clip_on=False,
    )  # fmt: skip


def _frame(axes: Axes, named: Sequence[FormRecord], *, num_rows: int, length: int) -> None:
    """The zero line, rows from the top down, and each form's name above its interval."""
    axes.axvline(0, color=PALETTE["muted"], lw=1, zorder=3)
    axes.set_ylim(num_rows - 0.5, -0.75)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    for row, form in enumerate(named):
        axes.annotate(
            one_line(drawable(_label(form)), length=length), (0, row),
            xycoords=("axes fraction", "data"), xytext=(0, 4.5), textcoords="offset points",
            fontsize=8.5, color=PALETTE["ink"], ha="left", va="bottom", annotation_clip=False,
            zorder=7,
        )  # fmt: skip
