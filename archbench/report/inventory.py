"""What was searched, how did its trials end, and under which conditions."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from archbench.analysis import verdict
from archbench.analysis.study_header import (
    backend_in_words,
    chance_in_words,
    confirmation_in_words,
    source_in_words,
    spaces_in_words,
)
from archbench.command_line import command_line, study_argument
from archbench.report.document import in_words, to_words
from archbench.report.element import Cell, Code, FactList, Part, ReportTable, fold, groups
from archbench.report.html import Markup, html, one_line
from archbench.report.number import percent
from archbench.report.summary import Summary
from archbench.study.study_folder import resume_command
from archbench.study.trial import TrialRecord

_VALUES_SHOWN = 30
_REASONS_SHOWN = 5
_OUTCOMES = {
    "complete": "trained to the last rung",
    "pruned": "training stopped early by a rule",
    "over_limit": "a limit was broken, so nothing was trained",
    "failed": "could not be built, measured or trained",
    "running": "not ended yet",
}


def searched(summary: Summary) -> list[Part]:
    """Question, size, what was optimised, the axes with what was tried, and the space file."""
    header = summary.header
    size = header.get("size")
    audited = None if header.get("pruner") == "none" else header.get("audit")
    facts: list[tuple[str, object]] = [
        ("question", header.get("question")),
        ("candidates", f"{size:,.0f}" if size is not None else None),
        ("of these feasible", _feasible(header)),
        ("objectives", in_words(header["objectives"])),
        ("limits", in_words(summary.limits)),
        *(("earlier study", source_in_words(source)) for source in header.get("sources", ())),
        *(("its spaces", told) for told in spaces_in_words(header)),
        ("runtime", backend_in_words(header)),
        ("sampler", header.get("sampler")),
        ("it left to chance", chance_in_words(header)),
        ("stops early by", header.get("pruner")),
        ("audited share", None if audited is None else percent(audited)),
        ("seed", header.get("seed")),
        ("confirmation", confirmation_in_words(header)),
    ]
    text = header.get("space_text")
    has_file = isinstance(text, str) and text
    file = fold("The space file", [Code(str(text))]) if has_file else Markup()
    return [FactList(facts), _axes(summary), file]


def outcomes(summary: Summary) -> list[Part]:
    """How many trials ended in each state, with the commonest reasons."""
    rows = [
        {
            "state": state.replace("_", " "),
            "trials": f"{count:,}",
            "what it means, and the commonest reasons": Cell(
                _OUTCOMES[state],
                why=_reasons(record for record in summary.trials if record.state == state),
            ),
        }
        for state, count in summary.study.counts().items()
        if count
    ]
    saved = summary.study.pruning
    return [ReportTable(rows, align="lrp"), *([saved.in_words()] if saved and rows else [])]


def conditions(summary: Summary) -> Markup:
    """Conditions of the latency, the proxy, and the machine with its software."""
    header = summary.header
    return groups(
        {
            "Latency": summary.conditions,
            "Machine and software": header.get("environment"),
            "Proxy training": summary.proxy,
            "How its steps are computed": header.get("plan"),
        }
    )


def commands(summary: Summary) -> list[Part]:
    """The commands with what each is for."""
    path, best = summary.study.path, summary.study.recommended
    again, resume = again_command(summary), resume_command(path)
    entries = [
        ("Run it again", "The same search with the same seed, as a study of its own.", again),
        ("Go on with it", "It resumes exactly where it stands; add --trials for more.", resume),
        ("Write this report anew", "", command_line("archbench", "report", study_argument(path))),
    ]
    if best is not None:
        told = f"Trial {best.number} is the one to take; any other works alike."
        entries.append(("Train a design for longer", told, train_command(summary, best.number)))
    parts: list[Part] = []
    for title, purpose, typed in entries:
        parts += [html("<h3>{}</h3>\n", title), *([purpose] if purpose else []), Code(typed)]
    return parts


def again_command(summary: Summary) -> str:
    """The command that makes the same study under another name, with the seed said."""
    begun, seed = summary.header.get("command"), summary.header.get("seed")
    words = ["archbench", "search", str(summary.header.get("space_name") or "SPACE")]
    if isinstance(begun, str) and begun:
        try:
            words = shlex.split(begun)
        except ValueError:
            words = [begun]  # no line of a shell
    given = {"--name"} if seed is None else {"--name", "--seed"}
    kept = [word for before, word in pairwise(["", *words]) if not {before, word} & given]
    kept += [] if seed is None else ["--seed", str(seed)]
    return command_line(*kept, "--name", f"{summary.name}-again")


def train_command(summary: Summary, number: int | str) -> str:
    """The command that trains one design of the study; on the user's images after built-in ones."""
    is_own = str(summary.proxy.get("data", "")).startswith("folder:")
    train = verdict.train_command(summary.study, number)
    return train if is_own else f"{train} --data folder:PATH"


def _axes(summary: Summary) -> Markup:
    """The values that were tried on each axis, and how many of them stand on the front."""
    tried, on_front = _tally(summary.trials), _tally(summary.front)
    rows = []
    for axis, values in tried.items():
        chips: list[str] = []
        for value, count in sorted(values.items(), key=lambda one: by_number(one[0]))[
            :_VALUES_SHOWN
        ]:
            best = on_front.get(axis, Counter())[value]
            chips.append(
                html(
                    '<span class="chip{}">{} <small>×{}</small></span>',
                    " front" if best else "",
                    one_line(value, length=120),
                    f"{count}, {best} on front" if best else count,
                )
            )
        rest = len(values) - _VALUES_SHOWN
        chips += [f"and {rest} more"] if rest > 0 else []
        rows.append(html("<tr><td><code>{}</code></td><td>{}</td></tr>\n", axis, chips))
    shown = html(
        '<div class="scroll" tabindex="0"><table class="stacked">'
        '<caption class="unseen">Axes</caption><thead><tr><th scope="col">axis</th>'
        '<th scope="col">values tried, how often; blue: those on the front</th></tr></thead>'
        "<tbody>\n{}"
        "</tbody></table></div>\n",
        rows,
    )
    return shown if rows else Markup()


def _tally(records: Iterable[TrialRecord]) -> dict[str, Counter[str]]:
    tally: dict[str, Counter[str]] = {}
    for record in records:
        for axis, value in record.choices.items():
            tally.setdefault(axis, Counter())[to_words(value)] += 1
    return tally


def by_number(text: str) -> tuple[int, float, str]:
    """By what texts are sorted: numbers by their size, then the others."""
    try:
        return (0, float(text), "")
    except ValueError:
        return (1, 0.0, text)


def _reasons(records: Iterable[TrialRecord]) -> str:
    """The commonest reasons, those that differ only in their numbers as one, with an example."""
    examples: dict[str, str] = {}
    counted: Counter[str] = Counter()
    for record in records:
        text = record.why_it_ended
        if not text:
            continue
        kind = f"{record.failure.kind}: " if record.failure else ""
        line = one_line(f"{kind}{text}", length=160)
        pattern = re.sub(r"\d+(\.\d+)?", "0", line)
        examples.setdefault(pattern, line)
        counted[pattern] += 1
    said = [
        f"{count} ×, for example: {examples[pattern]}" if count > 1 else f"1 ×: {examples[pattern]}"
        for pattern, count in counted.most_common(_REASONS_SHOWN)
    ]
    others = len(counted) - len(said)
    return "; ".join(said + ([f"{others} other reasons"] if others else []))


def _feasible(header: Mapping[str, Any]) -> str | None:
    value, low, high = (header.get(f"feasible_{key}") for key in ("share", "low", "high"))
    if value is None:
        return None
    if low is None or high is None or low == high:
        return percent(value)
    return f"{percent(value)}, by sampling (95 % interval {percent(low)} to {percent(high)})"
