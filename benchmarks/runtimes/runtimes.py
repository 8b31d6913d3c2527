"""How fast is a network in each runtime, and does the order of networks stay?

Networks with random weights at 224 px, one image, one thread, fp32, on each backend of this
machine: converted, loaded and run once, then timed in turn with one another by archbench's
protocol. Each call adds lines to a file; ``table`` prints them.

    python benchmarks/runtimes/runtimes.py time runtimes.jsonl ncnn litert executorch openvino
    python benchmarks/runtimes/runtimes.py table runtimes.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

NETWORKS = ("levit_128s", "levit_128", "cvt_13")
SECONDS = 4.0  # for each network, where the machine does not settle before


def main() -> None:
    command, file, *backends = sys.argv[1:]
    if command == "time":
        for backend in backends:
            for line in timed(backend):
                with Path(file).open("a") as lines:
                    lines.write(json.dumps(line) + "\n")
    else:
        print(table([json.loads(line) for line in Path(file).read_text().splitlines()]))


def timed(backend: str) -> list[dict[str, object]]:
    """A line for each network on a backend."""
    from archbench.evaluate.target import calibrated
    from archbench.models import as_spec
    from archbench.study.measurement import Conditions

    conditions = Conditions(backend=backend)
    specs = {name: as_spec(name) for name in NETWORKS}
    found = calibrated(conditions).measure_together(specs, budget_s=SECONDS)
    return [
        {
            "backend": backend,
            "network": name,
            "ms": [found[name].value, found[name].low, found[name].high],
            "reason": found[name].reason,
            "details": dict(found[name].details),
        }
        for name in NETWORKS
    ]


def table(lines: list[dict]) -> str:
    """Markdown, a row for each backend and network."""
    ms = {(line["backend"], line["network"]): line["ms"][0] for line in lines}
    rows = [
        "| backend | network | ms | to levit_128s | made in s | file MB | error | outside |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        backend, details = line["backend"], line["details"]
        middle, low, high = line["ms"]
        timing = line["reason"] if middle is None else f"{middle:.2f} ({low:.2f}-{high:.2f})"
        base = ms[backend, "levit_128s"]
        ratio = f"{middle / base:.2f}" if middle and base else ""
        seconds = f"{details['preparation_s']:.1f}" if "preparation_s" in details else ""
        size = f"{details['artifact_bytes'] / 1e6:.1f}" if "artifact_bytes" in details else ""
        error = details.get("backend_error", details.get("deployment_error"))
        told = "" if error is None else f"{error:.0e}"
        outside = details.get("operators_outside", "")
        cells = (backend, line["network"], timing, ratio, seconds, size, told, outside)
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
