"""A search in a process of its own, which says as JSON, a line each, what it has acknowledged.

python benchmarks/faults/searching.py SPACE RESULTS '{"trials": 8, "resume": true}'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from archbench.errors import ArchbenchError
from archbench.search import events, search
from archbench.search.machines import Machines
from archbench.study.trial import TrialRecord


def main(space: str, results: str, options: str) -> int:
    """Searches; the exit code is that of ``archbench search``."""
    given = json.loads(options)
    given["machines"] = Machines(**given.get("machines", {}))
    try:
        search(Path(space), results=Path(results), on_event=_say, **given)
    except ArchbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _say(event: events.Event) -> None:
    told: dict[str, Any] = {"event": type(event).__name__}
    record = getattr(event, "record", None)
    if isinstance(record, TrialRecord):
        told |= {"trial": record.number, "state": record.state, "digest": record.digest}
        told["accuracy"] = record.proxy_accuracy
    if isinstance(event, events.RungFinished):
        point = event.point
        told |= {"trial": event.number, "seed": point.seed, "epoch": point.epoch}
        told |= {"loss": point.loss, "accuracy": point.accuracy}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
