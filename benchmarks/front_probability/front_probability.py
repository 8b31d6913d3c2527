"""Does a front's doubt hold: of candidates said to be on it with 80 %, are 80 % on it?

Studies are made from a table of really trained networks, some of its networks each, seen as one
training shows them, and the probabilities that ``archbench.analysis.front_probability`` gives are
held against what is so:

resampled  The table's mean over seeds is taken for the truth, and a training shows it with a
           residual of the whole table added, so that truth is known and noise is as it was seen.
           With one seed in the table its accuracies are the truth and the residuals are drawn:
           normal, one in ten three times as wide.
fresh      One seed is seen and the front of the means of the other seeds is foretold, whose own
           noise the model adds; nothing is made up. Needs two seeds or more.
made up    Every study has a table of its own, made up as ``sampler_making.py`` does, whose truth
           and noise are known exactly.

    python benchmarks/hybrids/trained_table.py train benchmarks/hybrids/hybrids.yaml out-0.jsonl
    python benchmarks/front_probability/front_probability.py out-0.jsonl [out-1.jsonl ...] --studies 100
    python benchmarks/front_probability/front_probability.py --made-up noisy,layers,stages --studies 100
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "samplers"))  # the tables

import sampler_making

from archbench.analysis.accuracy_model import accuracy_model_of
from archbench.analysis.front import FrontRule, nondominated
from archbench.analysis.front_probability import front_probabilities, truths
from archbench.study.trial import CurvePoint, TrialRecord

BINS = ((0.0, 0.05), (0.05, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.0))
RULE = FrontRule(
    objectives={"proxy_accuracy": "max", "macs": "min"}, limits={}, chance=0.1, num_validation=1536
)
SYNTHETIC_SD = 0.03


class Judge(Protocol):
    """Draws one study and puts down what is said of it and what is so."""

    def __call__(self, tally: Tally, *, size: int, rng: np.random.Generator, seen: int) -> None:
        """Puts one study down."""


@dataclass
class Tally:
    """What was said and what was so, over studies.

    Attributes:
        said: Probability, whether it stood on the front as seen, whether it is so.
        covered: Whether the interval held the true hypervolume, for each study.
        bare: Bare hypervolume less the true one, for each study.
        centred: Estimated hypervolume less the true one, for each study.
    """

    said: list[tuple[float, bool, bool]] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    centred: list[float] = field(default_factory=list)


def main() -> None:
    """Parses, resamples, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", type=Path)
    parser.add_argument("--made-up", help="kinds of tables, one made for each study")
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--sizes", default="20,60,120", help="candidates of a study")
    parser.add_argument("--seeds-seen", type=int, default=1, help="trainings of each")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if bool(given.tables) == bool(given.made_up):
        parser.error("give tables, or --made-up")
    judges = _judges(given.tables, given.made_up)
    results = []
    begin = time.perf_counter()
    for size in map(int, given.sizes.split(",")):
        for kind, judge in judges.items():
            tally = Tally()
            for study in range(given.studies):
                rng = np.random.default_rng([size, study])
                judge(tally, size=size, rng=rng, seen=given.seeds_seen)
            results.append({"kind": kind, "size": size, **summary(tally)})
    seconds = time.perf_counter() - begin
    document = {
        "schema": "archbench.front_doubt/1",
        "studies": given.studies,
        "seconds": round(seconds, 1),
        "results": results,
    }
    print(json.dumps(document, indent=2) if given.json else text(document))


def _judges(tables: Sequence[Path], kinds: str | None) -> dict[str, Judge]:
    if kinds:
        return {f"made up, {kind}": partial(made_up, kind) for kind in kinds.split(",")}
    table = Table(tables)
    found: dict[str, Judge] = {"resampled": table.resampled}
    return {**found, "fresh": table.fresh} if table.num_seeds > 1 else found


class Table:
    """The networks of which every seed was trained.

    Args:
        files: JSON lines of ``trained_table.py``.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        found: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        for line in _lines(files):
            found[line["digest"]][line["seed"]] = line
        most = max(len(seeds) for seeds in found.values())
        whole = most if sum(len(seeds) == most for seeds in found.values()) >= 60 else 1
        self.entries = [seeds for seeds in found.values() if len(seeds) >= whole]
        self.num_seeds = whole
        self.accuracy = np.array(
            [[seeds[s]["accuracy"][-1] for s in sorted(seeds)[:whole]] for seeds in self.entries]
        )
        around = self.accuracy - self.accuracy.mean(axis=1, keepdims=True)
        self.residuals = np.sqrt(whole / max(1, whole - 1)) * around.ravel()

    def resampled(self, tally: Tally, *, size: int, rng: np.random.Generator, seen: int) -> None:
        """One study whose truth is the table's mean."""
        chosen = self._chosen(size, rng)
        truth = self.accuracy[chosen].mean(axis=1)
        shown = truth[:, None] + self._noise((len(chosen), seen), rng)
        _judge(tally, self._trials(chosen, np.clip(shown, 0, 1)), truth=truth, rng=rng)

    def fresh(self, tally: Tally, *, size: int, rng: np.random.Generator, seen: int) -> None:
        """One study of one seed, whose front by the other seeds is foretold."""
        chosen = self._chosen(size, rng)
        seed = int(rng.integers(self.num_seeds))
        others = [s for s in range(self.num_seeds) if s != seed]
        trials = self._trials(chosen, self.accuracy[chosen][:, [seed]])
        means = self.accuracy[chosen][:, others].mean(axis=1)
        model = accuracy_model_of(trials)
        drawn = truths(trials, rule=RULE, model=model)
        sd = model.noise_sd / np.sqrt(len(others))
        drawn.values[:, :, 0] += sd * rng.standard_normal(drawn.values.shape[:2])
        shares = np.mean([nondominated(values) for values in drawn.values], axis=0)
        really = _front(means, trials)
        members = {record.number for record in RULE.front(trials)}
        for place, record in enumerate(trials):
            tally.said.append((float(shares[place]), record.number in members, bool(really[place])))

    def _chosen(self, size: int, rng: np.random.Generator) -> Any:
        return rng.choice(len(self.entries), size=min(size, len(self.entries)), replace=False)

    def _noise(self, shape: tuple[int, int], rng: np.random.Generator) -> Any:
        if self.num_seeds > 1:
            return rng.choice(self.residuals, size=shape)
        wide = np.where(rng.random(shape) < 0.1, 3.0, 1.0)
        return SYNTHETIC_SD * wide * rng.standard_normal(shape)

    def _trials(self, chosen: Any, results: Any) -> list[TrialRecord]:
        return [
            _record(place, next(iter(self.entries[index].values())), row)
            for place, (index, row) in enumerate(zip(chosen, results, strict=True))
        ]


def made_up(kind: str, tally: Tally, *, size: int, rng: np.random.Generator, seen: int) -> None:
    """One study of a table made for it; its cost stands for MACs."""
    table = sampler_making.KINDS[kind](rng)
    chosen = rng.choice(len(table.codes), size=min(size, len(table.codes)), replace=False)
    truth = table.accuracy[chosen]
    shown = truth[:, None] + table.noise * rng.standard_normal((len(chosen), seen))
    trials = []
    for place, (row, results) in enumerate(zip(chosen, np.clip(shown, 0, 1), strict=True)):
        codes = zip(table.axes, table.codes[row], strict=True)
        entry = {
            "digest": str(row),
            "choices": {axis.name: axis.values[code] for axis, code in codes},
            "params": 1,
            "macs": round(1e6 * float(table.cost[row])),
        }
        trials.append(_record(place, entry, results))
    _judge(tally, trials, truth=truth, rng=rng)


def _judge(
    tally: Tally, trials: list[TrialRecord], *, truth: Any, rng: np.random.Generator
) -> None:
    found = front_probabilities(trials, rule=RULE)
    really = _front(truth, trials)
    members = {record.number for record in RULE.front(trials)}
    for place, record in enumerate(trials):
        if record.number in found.on_front:
            said = found.on_front[record.number]
            tally.said.append((said, record.number in members, bool(really[place])))
    box = RULE.box(trials)
    if box is None or found.hypervolume is None:
        return
    luck = rng.standard_normal() / RULE.num_validation**0.5  # of the images, alike for all
    anew = np.clip(truth - luck * np.sqrt(truth * (1 - truth)), 0, 1)
    true = box.share([(float(anew[n]), float(trials[n].macs)) for n in sorted(members)])
    tally.covered.append(found.hypervolume.low <= true <= found.hypervolume.high)
    tally.bare.append(RULE.hypervolume(trials) - true)
    tally.centred.append(found.hypervolume.value - true)


def summary(tally: Tally) -> dict[str, Any]:
    """Said and held by bins, of all candidates and of the front's members."""
    return {
        "all": [_bin(tally.said, low, high) for low, high in BINS],
        "members_80_100": _bin([entry for entry in tally.said if entry[1]], 0.8, 1.0),
        "hypervolume": {
            "covered": float(np.mean(tally.covered)),
            "bare_bias": float(np.mean(tally.bare)),
            "estimate_bias": float(np.mean(tally.centred)),
        }
        if tally.covered
        else None,
    }


def text(document: dict[str, Any]) -> str:
    """The tables, in Markdown."""
    lines = []
    for result in document["results"]:
        lines += [f"\n{result['kind']}, {result['size']} candidates a study\n"]
        lines += ["| said | candidates | mean said | held | s.e. |", "|---|---|---|---|---|"]
        rows = [*result["all"], {**result["members_80_100"], "name": "members, 80-100 %"}]
        for entry in rows:
            name = entry.get("name", f"{100 * entry['low']:.0f}-{100 * entry['high']:.0f} %")
            if entry["number"]:
                told = f"{entry['said']:.3f} | {entry['held']:.3f} | {entry['error']:.3f}"
                lines.append(f"| {name} | {entry['number']} | {told} |")
        if result["hypervolume"]:
            held = result["hypervolume"]
            lines.append(
                f"\nhypervolume: {100 * held['covered']:.0f} % of the 95 % intervals hold the true "
                f"one; bare {held['bare_bias']:+.4f}, estimate {held['estimate_bias']:+.4f} off"
            )
    return "\n".join(lines)


def _bin(said: list[tuple[float, bool, bool]], low: float, high: float) -> dict[str, Any]:
    inside = [(p, so) for p, _, so in said if low <= p < high or (high == 1.0 and p == 1.0)]
    held = float(np.mean([so for _, so in inside])) if inside else 0.0
    return {
        "low": low,
        "high": high,
        "number": len(inside),
        "said": float(np.mean([p for p, _ in inside])) if inside else 0.0,
        "held": held,
        "error": (held * (1 - held) / max(1, len(inside))) ** 0.5,
    }


def _front(accuracy: Any, trials: list[TrialRecord]) -> Any:
    macs = np.array([float(record.macs) for record in trials])
    return nondominated(np.column_stack([-accuracy, macs]))


def _record(number: int, line: dict[str, Any], results: Sequence[float]) -> TrialRecord:
    curve = [
        CurvePoint(seed=seed, epoch=1, step=1, loss=0.0, accuracy=float(accuracy), seconds=1.0)
        for seed, accuracy in enumerate(results)
    ]
    return TrialRecord(
        number=number,
        state="complete",
        digest=line["digest"],
        choices=line["choices"],
        spec={},
        params=line["params"],
        macs=line["macs"],
        activations=0,
        curve=tuple(curve),
        proxy_accuracy=float(np.mean(results)),
    )


def _lines(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # the last one may still be written
                yield json.loads(line)


if __name__ == "__main__":
    main()
