"""Which defaults do files and the environment set, and where?"""

from collections.abc import Mapping
from typing import Any

from archbench.report.document import to_flow
from archbench.report.element import Lines, ReportTable
from archbench.report.finding import Finding

_ORDER = "the command line counts most, then the environment, then the project's file, then yours"


def finding(document: Mapping[str, Any]) -> Finding:
    """A document of the schema ``archbench.configuration/1``: what is set, the last in effect."""
    files, options = document["files"], list(enumerate(document["options"]))
    last = {(one["command"], one["option"]): number for number, one in options}
    rows = [
        {
            "command": one["command"] or "all",
            "option": f"--{one['option']}",
            "value": one["value"] if isinstance(one["value"], str) else to_flow(one["value"]),
            "from": one["from"],
            "": "" if last[one["command"], one["option"]] == number else "overridden",
        }
        for number, one in options
    ]
    read = f"read: {', '.join(files)}" if files else "no archbench.toml was found"
    table = ReportTable(rows, align="lllll", leaves_out=True)
    return Finding(document, [Lines([read, _ORDER], rest=""), table])
