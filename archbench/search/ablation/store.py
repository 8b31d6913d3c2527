"""What lies in an ablation's folder: see ``archbench.search.journal``."""

from __future__ import annotations

from pathlib import Path

from archbench.command_line import command_line, named_in_results
from archbench.search.journal import PLAN, RESULTS, Journal, Line, append, mend, read_lines

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
