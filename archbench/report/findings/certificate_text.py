"""What a certificate found, as text in 80 columns."""

from __future__ import annotations

import textwrap

from archbench.analysis.certificate import Certificate, Finding, estimate_text
from archbench.report import certificate as words
from archbench.report.ablation import plural
from archbench.report.number import NOT_THERE, percent
from archbench.report.text import WIDTH, table


def certificate_text(found: Certificate) -> str:
    """The answer, then how well each score orders, the noise, the rungs."""
    parts = [f"{words.title(found)}\n{_filled(words.trained(found))}"]
    finding = found.finding
    if finding is None:
        left = found.num_trainings - found.num_done
        parts.append(f"not whole yet: {left} of {found.num_trainings} trainings left")
        return "\n\n".join(parts)
    parts.append(_filled(finding.sentence))
    if finding.num_used < len(found.candidates):
        parts.append(_failed(found, finding))
    if finding.rungs:
        parts += [f"Kendall's tau with the longer trainings\n\n{_table(finding)}"]
        parts.append(_filled(words.explained(finding)))
    told = (words.noise(finding), words.rungs(finding), *map(str, found.header["notes"]))
    parts.append("\n".join(_filled(text) for text in told if text))
    if finding.advice:
        parts.append(_filled(f"what helps: {finding.advice}"))
    return "\n\n".join(parts)


def _table(finding: Finding) -> str:
    titles = ("score", "median", "at equal cost", "near the front", "overall")
    rows = [
        (
            name,
            NOT_THERE if median is None else percent(median),
            estimate_text(agreement.at_equal_cost),
            estimate_text(agreement.near_front),
            estimate_text(agreement.overall),
        )
        for name, median, agreement in words.scores(finding)
    ]
    return table(titles, rows, align="lrrrr")


def _failed(found: Certificate, finding: Finding) -> str:
    lost = [candidate for candidate in found.candidates if candidate.failures]
    left_out = len(found.candidates) - finding.num_used
    lines = [f"left out, as trainings failed: {plural(left_out, 'candidate')}"]
    lines += [_filled(f"{c.digest}: {'; '.join(c.failures)}", indent=2) for c in lost[:3]]
    return "\n".join(lines)


def _filled(text: str, *, indent: int = 0) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )
