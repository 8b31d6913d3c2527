"""What lies in an ablation's folder: see ``archbench.search.journal``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from archbench.command_line import command_line, named_in_results
from archbench.search.journal import PLAN, RESULTS, Journal, Line, append, mend, read_lines
from archbench.study.measurement import Conditions, Measurement

__all__ = ["PLAN", "RESULTS", "Line", "append", "mend", "read_lines"]

SCHEMA = "archbench.ablation-plan/1"


def resume_command(path: Path) -> str:
    """What to type to go on with an ablation."""
    return command_line("archbench", "ablate", *named_in_results(path), "--resume")


_JOURNAL = Journal(noun="ablation", schema=SCHEMA, resume_command=resume_command)

create = _JOURNAL.create
refuse_existing = _JOURNAL.refuse_existing
is_ablation = _JOURNAL.is_at
write_plan = _JOURNAL.write_plan
read_plan = _JOURNAL.read_plan


def measurement_document(measurement: Measurement) -> Line:
    """A measurement as a JSON-able mapping."""
    return asdict(measurement)


def measurement_of(document: Mapping[str, Any]) -> Measurement:
    """The measurement that ``measurement_document`` wrote."""
    conditions = dict(document["conditions"])
    conditions["resolution"] = tuple(conditions["resolution"])
    return Measurement(
        **{
            **document,
            "samples": tuple(document["samples"]),
            "conditions": Conditions(**conditions),
        }
    )
