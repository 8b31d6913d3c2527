"""What becomes of the front of a study on another device?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report.element import Lines
from archbench.report.finding import Finding
from archbench.report.findings.front import front_table
from archbench.study.measurement import Conditions, Verdict
from archbench.study.trial import TrialRecord

_DOUBTS: dict[Verdict, str] = {
    "disturbed": "measure again on a quiet machine (archbench doctor says why)",
    "incomplete": "they have no value, and --json says why",
}


def finding(
    document: Mapping[str, Any], *, front: Sequence[TrialRecord], next_step: str
) -> Finding:
    """The front by the new times, and how it differs from that of the search.

    The document is of the schema ``archbench.elsewhere/1``, the front by the new times.
    """
    transfer, trials = document["transfer"], document["trials"]
    conditions = Conditions.from_document(document["conditions"])
    title = f"{document['study']}: {len(trials)} networks on {conditions}"
    verdicts = [trial["latency_verdict"] for trial in trials]
    tau, compared, lost = transfer["kendall_tau"], transfer["compared"], transfer["lost"]
    lines = [
        f"on the front of the search and of this device: {_listed(transfer['kept'])}",
        f"on the front of the search only: {_listed(transfer['left'])}",
        f"on the front of this device only: {_listed(transfer['joined'])}",
        tau is not None
        and f"rank correlation of both latencies (Kendall's tau): {tau:.2f} over {compared} "
        "networks",
        lost is not None
        and f"without a search here {100 * lost:.1f} % of the hypervolume are lost, of what this "
        "study has trained",
        *(
            f"{count} of {len(verdicts)} latencies are {verdict}: {meaning}"
            for verdict, meaning in _DOUBTS.items()
            if (count := verdicts.count(verdict))
        ),
    ]
    shown = front_table(front) if front else "no network stands on a front here"
    return Finding(document, [title, shown, Lines(lines)], next_step)


def _listed(numbers: Sequence[int]) -> str:
    return f"trials {', '.join(map(str, numbers))}" if numbers else "none"
