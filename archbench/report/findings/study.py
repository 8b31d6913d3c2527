"""What a study found so far, in a terminal: counts, verdict, front, and what to do next."""

from __future__ import annotations

from archbench.analysis.study import StudyReader
from archbench.analysis.verdict import taken_in_words
from archbench.command_line import command_line, study_argument
from archbench.report.element import Lines, Part
from archbench.report.finding import Finding
from archbench.report.findings.front import front_table
from archbench.report.number import with_interval
from archbench.report.summary import Summary
from archbench.study.objective import OBJECTIVES


def finding(study: StudyReader, *, has_page: bool = True) -> Finding:
    """Counts, verdict, the front with its hypervolume, what the early stops saved."""
    counts, members = study.counts(), study.front_records()
    told = ", ".join(
        f"{count} {state.replace('_', ' ')}" for state, count in counts.items() if count
    )
    head = f"{study.name}: {sum(counts.values())} trials ({told or 'none yet'})"
    parts: list[Part] = [
        Lines([head, taken_in_words(study.trials())], rest=""),
        study.verdict(),
        front_table(members, summary=Summary(study)) if members else "",
        _hypervolume(study) if members else "",
        study.pruning.in_words() if study.pruning else "",
    ]
    step = "" if has_page else command_line("archbench", "report", study.path)
    if members:
        trial = f"{study_argument(study.path)}:{members[-1].number}"
        data = study.header["proxy"]["data"]
        step = command_line("archbench", "train", trial, "--data", data, "--epochs", 30)
    return Finding(study.document(), parts, step)


def _hypervolume(study: StudyReader) -> str:
    sides = (OBJECTIVES[name].text(v) for name, v in (study.reference_point() or {}).items())
    share = f"hypervolume {study.hypervolume():.3f}: that share of the box"
    told = f"{share} from {', '.join(sides)} to the ideal"
    covered = study.front_probabilities.hypervolume
    if covered is None:
        return told
    interval = with_interval(covered.value, covered.low, covered.high)
    return f"{told}; {interval} with the luck of the best taken out"
