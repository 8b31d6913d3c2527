"""Which class is on each picture, as a trained network sees it?"""

from collections.abc import Mapping
from typing import Any

from archbench.report import number
from archbench.report.element import Lines, ReportTable
from archbench.report.finding import Finding


def finding(document: Mapping[str, Any]) -> Finding:
    """A document of the schema ``archbench.predictions/1``."""
    rows = [
        {
            "picture": "" if place else image["file"],
            "class": one["class"],
            "probability": number.percent(one["probability"]),
        }
        for image in document["images"]
        for place, one in enumerate(image["classes"])
    ]
    unreadable = [
        f"{one['file']} cannot be read: {one['reason']}" for one in document["unreadable"]
    ]
    nameless = "" if document["preparation"]["class_names"] else "the weights do not name classes"
    return Finding(document, [ReportTable(rows, align="llr"), Lines([*unreadable, nameless])])
