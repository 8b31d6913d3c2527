"""Really trained: ``archbench search`` beside a study of Optuna's, for the same CPU-seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sampler_table import Axis, Table
from search_peers_run import Run, Spent
from search_peers_systems import search

from archbench.analysis.front import pareto_front
from archbench.analysis.study import open_study
from archbench.evaluate.proxy import Proxy, open_data, warm_up
from archbench.evaluate.target import Target, calibrated
from archbench.measure.machine import capture_environment
from archbench.models.network import as_spec, count
from archbench.search.settings import conditions_of
from archbench.space import Choices, SearchSpace
from archbench.study.objective import objective_value
from archbench.study.study_folder import DATABASE
from archbench.train.recipe import Plan, Recipe

_LOOK_EVERY_S = 0.5
_BEYOND = 1.1  # the reference cost, in times the largest of any front
_JUDGE = 1000  # seed of the recipes that judge


class Trainer:
    """Trains and measures here: see ``search_peers_run.Trainings``.

    Args:
        space: Of the candidates; its proxy and its target hold.
        seed: Of the recipe.
    """

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        warm_up(space.target.threads)
        section = space.proxy
        data = open_data(section.data, resolution=section.resolution)
        self.space = space
        self.num_epochs = section.rungs[-1]
        self.chance = max(1 / data.num_classes, data.majority_share)
        self._proxy = Proxy(
            data=section.data,
            resolution=section.resolution,
            num_classes=data.num_classes,
            stem=section.stem,
            num_seeds=1,
            recipe=Recipe(
                rungs=section.rungs, batch=section.batch, seed=seed, teacher=section.teacher
            ),
            plan=Plan(),
            device="cpu",
        )
        self.target = _target(space) if "latency_ms" in space.objectives else None

    def digest(self, choices: Choices) -> str:
        """See ``Trainings``."""
        return self.space.decode(choices).digest

    def cost(self, choices: Choices) -> tuple[float, float]:
        """See ``Trainings``; what it takes is on this process's clock already."""
        return self.cost_of(self.space.decode(choices)), 0.0

    def epochs(self, choices: Choices, start: int) -> Iterator[tuple[int, float, float]]:
        """See ``Trainings``; trained to the end before the first is told."""
        spec = self.space.decode(choices)
        seeds = range(self.space.proxy.seeds)
        yield 1, statistics.fmean(self.accuracy_of(spec, seed=seed) for seed in seeds), 0.0

    def cost_of(self, spec: Any) -> float:
        """The objective that is minimised."""
        if self.target is None:
            names = [name for name in self.space.objectives if name != "proxy_accuracy"]
            return float(getattr(count(spec), names[0]))
        value = self.target.measure(spec).value
        assert value is not None, "a machine on which latency cannot be had serves no comparison"
        return value

    def accuracy_of(self, spec: Any, *, seed: int) -> float:
        """Of one training to the end."""
        with tempfile.TemporaryDirectory() as folder:
            return self._proxy.train(
                spec,
                seed=seed,
                checkpoint=Path(folder) / "checkpoint.safetensors",
                sha256=None,
                weights=None,
                on_point=lambda point, path, sha256: True,
                on_note=lambda text: None,
            )


def live(
    space: str,
    *,
    overrides: Sequence[str],
    systems: Sequence[str],
    seeds: Sequence[int],
    budget: float,
    fresh: int,
    kept: Path | None,
) -> None:
    """Searches with each system and seed, trains the members of all fronts anew, prints.

    Args:
        space: File or name.
        overrides: ``PATH=VALUE`` of it, for all systems.
        systems: Names; archbench and those of Optuna.
        seeds: Of searches.
        budget: CPU-seconds of each.
        fresh: Trainings of each member that judge it.
        kept: File of what is done, which goes on.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = kept or Path(folder) / "live.jsonl"
        for seed in seeds:
            for name in systems:
                if any((e["system"], e["seed"]) == (name, seed) for e in _fronts(path)):
                    continue
                searched = _archbench if name.startswith("archbench") else _optuna
                front = searched(space, overrides=overrides, name=name, seed=seed, budget=budget)
                _add(path, {"system": name, "seed": seed, "budget": budget, **front})
                print(f"{name}, seed {seed}: {_in_words(front)}", flush=True)
        judge = Trainer(SearchSpace.load(space, overrides=overrides), seed=_JUDGE)
        _judge(path, trainer=judge, fresh=fresh)
        print(table(path, chance=judge.chance))


def alone(
    space: str, *, overrides: Sequence[str], name: str, seed: int, budget: float, out: Path
) -> None:
    """One of Optuna's searches; its CPU-seconds are those of this process from its beginning."""
    loaded = SearchSpace.load(space, overrides=overrides)
    trainer = Trainer(loaded, seed=seed)
    run = _Whole(trainer, budget=budget)
    search(name, run, space=loaded, seed=seed)
    seen = {digest: accuracy for _, digest, accuracy in run.events}
    members = _front([(digest, run.costs[digest], seen[digest]) for digest in seen])
    found = {
        "trials": len(run.events),
        "cpu_seconds": run.seconds,
        "members": [{**member, "spec": run.specs[member["digest"]]} for member in members],
    }
    out.write_text(json.dumps(found))


class _Whole(Run):
    """A run that is charged from the start of its process, and keeps specs and costs."""

    def __init__(self, trainer: Trainer, *, budget: float) -> None:
        super().__init__(trainer, budget=budget)
        self.costs: dict[str, float] = {}
        self.specs: dict[str, Any] = {}
        self._trainer = trainer

    def begin(self) -> None:
        """Libraries count, as they do for archbench."""
        self.begun = 0.0

    def cost(self, choices: Choices) -> float:
        """Measured once for each network, as its study's records would tell."""
        spec = self._trainer.space.decode(choices)
        if spec.digest not in self.costs:
            self.costs[spec.digest] = super().cost(choices)
            self.specs[spec.digest] = spec.to_document()
        return self.costs[spec.digest]

    def note(self, choices: Choices, accuracy: float) -> None:
        """Only what is known within the budget counts."""
        if self.seconds > self.budget:
            raise Spent
        super().note(choices, accuracy)


def _archbench(
    space: str, *, overrides: Sequence[str], name: str, seed: int, budget: float
) -> dict[str, Any]:
    """The command as it is typed, parked when the CPU-seconds of all its processes are used."""
    sampler, pruner = (*name.split(":")[1:], "", "")[:2]
    with tempfile.TemporaryDirectory() as folder:
        trials = SearchSpace.load(space).size()  # so that the CPU-seconds end it
        command = [_program(), "search", space, "--seed", str(seed), "--trials", str(trials)]
        command += ["--no-certify", "--workers", "1", "--results", folder, "--name", "live"]
        command += [word for text in overrides for word in ("--set", text)]
        command += ["--sampler", sampler] if sampler else []
        command += ["--pruner", pruner] if pruner else []
        told = Path(folder) / "told.txt"
        with told.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        spent = 0.0
        while process.poll() is None and spent < budget:
            time.sleep(_LOOK_EVERY_S)
            spent = max(spent, cpu_seconds(process.pid))
        process.send_signal(signal.SIGTERM)  # Ctrl-C is ignored by what was begun in the background
        process.wait()
        path = Path(folder) / "live"
        if not (path / DATABASE).is_file():
            sys.exit(
                f"archbench search stored nothing in {budget:g} CPU-seconds:\n{told.read_text()}"
            )
        study = open_study(path)
        names = [name for name in study.rule.objectives if name != "proxy_accuracy"]
        return {
            "trials": sum(bool(record.curve) for record in study.trials()),
            "cpu_seconds": spent,
            "members": [
                {
                    "digest": record.digest,
                    "cost": objective_value(record, names[0]),
                    "accuracy": record.proxy_accuracy,
                    "spec": record.spec,
                }
                for record in study.front_records()
            ],
        }


def _optuna(
    space: str, *, overrides: Sequence[str], name: str, seed: int, budget: float
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "front.json"
        script = Path(__file__).with_name("search_peers.py")
        command = [sys.executable, str(script), "alone", space, "--systems", name]
        command += ["--seeds", str(seed), "--cpu-seconds", str(budget), "--keep", str(out)]
        command += [word for text in overrides for word in ("--set", text)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, of its children that live, and of those it has waited for."""
    own = _stat(pid)
    if own is None:
        return 0.0
    seconds = sum(map(int, own[13:17])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task").glob("*/children")
    living = [int(child) for file in children for child in _read(file).split()]
    return seconds + sum(map(cpu_seconds, living))


def _stat(pid: int) -> list[str] | None:
    text = _read(Path(f"/proc/{pid}/stat"))
    if not text:
        return None
    before, _, after = text.rpartition(")")  # the name may hold spaces
    return [before.split()[0], "", *after.split()]


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # it has ended meanwhile
        return ""


def _judge(path: Path, *, trainer: Trainer, fresh: int) -> None:
    """Trains each member of any front with fresh seeds, and takes its cost again."""
    judged = {entry["judged"] for entry in _entries(path) if "judged" in entry}
    specs = {m["digest"]: m["spec"] for e in _fronts(path) for m in e["members"]}
    for digest, document in specs.items():
        if digest not in judged:
            spec = as_spec(document)
            accuracies = [trainer.accuracy_of(spec, seed=seed) for seed in range(fresh)]
            cost = trainer.cost_of(spec)
            _add(path, {"judged": digest, "cost": cost, "accuracies": accuracies})


def table(path: Path, *, chance: float) -> str:
    """Share of the hypervolume of all fronts together, by what the judge found."""
    judged = {e["judged"]: e for e in _entries(path) if "judged" in e}
    fronts = list(_fronts(path))
    digests = sorted({m["digest"] for entry in fronts for m in entry["members"]})
    worst = _BEYOND * max(judged[digest]["cost"] for digest in digests)
    accuracy = [judged[digest]["accuracies"] for digest in digests]
    codes = np.arange(len(digests) + 1)[:, None]
    judge = Table(
        "fronts",
        (Axis("member", tuple(range(len(codes))), is_ordered=True),),
        codes,
        np.array([*(judged[digest]["cost"] for digest in digests), worst]),
        np.array([*accuracy, [chance] * len(accuracy[0])]),
    )
    lines = ["| system | seed | CPU-seconds | trials | front | share |", "|---" * 6 + "|"]
    for entry in fronts:
        rows = [digests.index(member["digest"]) for member in entry["members"]]
        observed = np.zeros(len(judge))
        observed[rows] = [member["accuracy"] for member in entry["members"]]
        share = 1 - judge.regret(rows, observed) if rows else 0.0
        cells = (entry["system"], entry["seed"], f"{entry['cpu_seconds']:.0f}", entry["trials"])
        lines.append("| " + " | ".join(map(str, (*cells, len(rows), f"{share:.3f}"))) + " |")
    return "\n".join(lines)


def _front(found: Sequence[tuple[str, float, float]]) -> list[dict[str, Any]]:
    points = [(accuracy, cost) for _, cost, accuracy in found]
    return [
        {"digest": found[place][0], "cost": found[place][1], "accuracy": found[place][2]}
        for place in pareto_front(points, ["max", "min"])
    ]


def _target(space: SearchSpace) -> Target:
    return calibrated(conditions_of(space), environment=capture_environment())


def _program() -> str:
    found = shutil.which("archbench")
    if found is None:
        sys.exit("the command archbench is not on the path")
    return found


def _in_words(front: dict[str, Any]) -> str:
    members = len(front["members"])
    return f"{front['trials']} trials, {members} on the front, {front['cpu_seconds']:.0f} CPU-s"


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


def _fronts(path: Path) -> Iterator[dict[str, Any]]:
    return (entry for entry in _entries(path) if "system" in entry)


def _add(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
