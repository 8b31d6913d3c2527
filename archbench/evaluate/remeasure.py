"""How fast are the networks of a study on another device, and does its front stand there?"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from archbench.analysis.front import transfer
from archbench.analysis.study import StudyReader, open_study
from archbench.analysis.tables import designs_table, latency_cells, measurements_table, write_tables
from archbench.errors import UsageError
from archbench.evaluate.target import SEARCH_BUDGET_S, calibrated, known_anchors
from archbench.models import as_spec
from archbench.progress import Progress, of_waits
from archbench.study.atomic_file import write_atomically
from archbench.study.measurement import Conditions, Measurement
from archbench.study.runs import latency_of, run_to_run, runs_of
from archbench.study.trial import Taken, TrialRecord

SCHEMA = "archbench.elsewhere/1"
Which = Literal["front", "all"]


def measure_elsewhere(
    study: Path | str,
    *,
    trials: Which = "front",
    budget_s: float = SEARCH_BUDGET_S,
    on_progress: Progress | None = None,
    **asked: Any,
) -> tuple[dict[str, Any], list[TrialRecord]]:
    """Times the networks of a study again, trains nothing, and writes the front by these times.

    It gives a JSON document of the schema ``archbench.elsewhere/1``, and the front, cheapest
    first, with its latencies there. The tables ``front-<device>-<backend>`` and
    ``measurements-<device>-<backend>`` are written beside those of the study, which stay as they
    are.

    The trials are members of the front, or all that were trained to the end: what was lost by not
    searching there is only known from all. Conditions that are not asked for, or are None, are
    those of the search; in another precision than its own the accuracy of a network stays what it
    was, as ``accuracy_in`` says. Each takes ``budget_s``, where the machine does not settle before.
    What was timed is kept when it is interrupted, and the same call times the rest.

    Raises:
        UsageError: The study has no such trial yet.
        StorageError: There is no such study, or it cannot be written beside.
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    reader = open_study(study)
    header, proxy = reader.header, reader.header["proxy"]
    said = {name: value for name, value in asked.items() if value is not None}
    here = _in_precision(_chosen(reader, trials), said.get("precision"))
    searched = next((record.latency.conditions for record in here if record.latency), Conditions())
    if begun := header.get("conditions"):  # networks of a study may differ in resolution
        height, width = begun["resolution"]
        searched = replace(searched, resolution=(height, width))
    if "precisions" in header:
        searched = replace(searched, precision=header["precisions"][0])
    conditions = replace(searched, **said)
    specs = [as_spec(record.spec) for record in here]
    waits, images = of_waits(on_progress), (proxy["data"], proxy.get("resolution", 64))
    target = calibrated(conditions, images=images, on_progress=on_progress)
    known = known_anchors(header, conditions=conditions, environment=target.environment)
    if "batch" not in said:
        target = replace(target, batches=tuple(header.get("batches", ())[1:]))
    # Networks differ by what they are, and not by what the machine did when each was timed.
    target = target.anchored(specs, known=known, on_progress=waits)
    between = run_to_run(runs_of(reader.taken()).values())
    there, taken = list[TrialRecord](), list[Taken]()
    journal = _Journal(reader.path, conditions=conditions, environment_id=target.environment.id)
    for done, (record, spec) in enumerate(zip(here, specs, strict=True)):
        if on_progress:
            on_progress("timing networks again, networks", done, len(here))
        is_other = record.design is not None and "precision" not in said
        its = target.at("int8") if is_other else target
        measured = journal.kept.get(record.number)
        if measured is None:
            measured = its.measure(spec, budget_s=budget_s, on_progress=waits)
            journal.add(record.number, measured)
        latency = latency_of([measured], between)
        there.append(replace(record, latency=latency))
        taken.append(Taken(trial=record.number, kind="confirm", measurement=latency))
    change = transfer(
        reader.rule,
        here=here,
        there=there,
        members=[record.number for record in reader.front_records()],
    )
    by_number = {record.number: record for record in there}
    front = [by_number[number] for number in change["front"]]
    num_validation = reader.rule.num_validation
    files = write_tables(
        reader.path,
        {
            "front": designs_table("front", front, num_validation=num_validation),
            "measurements": measurements_table(taken),
        },
        suffix=f"-{conditions.device}-{conditions.backend}",
    )
    journal.end()
    document = {
        "schema": SCHEMA,
        "study": reader.name,
        "searched": asdict(searched),
        "conditions": asdict(conditions),
        "environment": target.environment.document(),
        "trials": [
            {
                "trial": entry.trial,
                "proxy_accuracy": record.proxy_accuracy,
                "accuracy_in": "int8" if record.is_int8 else "fp32",
                **latency_cells(entry.measurement),
                "latency_reason": entry.measurement.reason,
            }
            for record, entry in zip(there, taken, strict=True)
        ],
        "transfer": change,
        "files": [str(path) for path in files],
    }
    return document, front


class _Journal:
    """The latencies that were taken so far, which lie beside the study until all are."""

    def __init__(self, study: Path, *, conditions: Conditions, environment_id: str) -> None:
        self._file = study / f"measuring-{conditions.device}-{conditions.backend}.json"
        under = {"conditions": asdict(conditions), "environment_id": environment_id}
        self._under = json.loads(json.dumps(under))
        self.kept: dict[int, Measurement] = {}  # by trial
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            found = json.loads(self._file.read_text())
            if found["under"] == self._under:
                self.kept = {
                    int(number): Measurement.from_document(one)
                    for number, one in found["trials"].items()
                }

    def add(self, trial: int, measured: Measurement) -> None:
        """Keeps one more."""
        self.kept[trial] = measured
        trials = {number: one.to_document() for number, one in self.kept.items()}
        text = json.dumps({"under": self._under, "trials": trials})
        write_atomically(self._file, text.encode())

    def end(self) -> None:
        """Takes the file away, as the tables have it all."""
        self._file.unlink(missing_ok=True)


def _in_precision(records: Sequence[TrialRecord], wanted: str | None) -> list[TrialRecord]:
    """The records; where a precision is wanted each design once, if possible in that precision."""
    if wanted is None:
        return list(records)
    ordered = sorted(records, key=lambda record: record.is_int8 != (wanted == "int8"))
    first: dict[str, TrialRecord] = {}
    for record in ordered:
        first.setdefault(record.digest, record)
    return [record for record in records if first[record.digest] is record]


def _chosen(reader: StudyReader, which: Which) -> Sequence[TrialRecord]:
    if which == "front":
        found = reader.front_records()
        reason = reader.no_front_reason() or "its front is empty"
    else:
        found = [record for record in reader.trials() if record.state == "complete"]
        reason = "no trial was trained to the end"
    if not found:
        raise UsageError(reason, place=reader.name, help="search on, or take --trials all")
    return found
