"""Breaks searches at random moments, and counts what did not hold.

    python benchmarks/faults/faults.py FOLDER [--times 10] [--only owner,worker] [--seed 0]

Whether it held is said by ``oracle.py``, which reads SQLite by itself and knows only what the search
printed. Each line of the table that is printed is one fault; FOLDER/faults.jsonl keeps them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from oracle import Oracle, contents, num_ended

HERE = Path(__file__).parent
SPACE = """\
resolution: 16
num_classes: 10
stages:
  - embed: {kind: conv, kernel: 4, stride: 4, padding: 0, norm: batch}
    block: {kind: levit, num_heads: 2, key_dim: 8, attention_ratio: 1, mlp_ratio: 1}
    dim: 16
    depth: 1
    position: bias
head: {pool: mean, norm: batch, num_classifiers: 1}
axes:
  stages[0].dim: {from: 8, to: 96}
  stages[0].depth: {from: 1, to: 4}
  stages[0].block.mlp_ratio: [1, 2, 3]
  stages[0].block.num_heads: [1, 2, 4]
  stages[0].position: [bias, absolute, none]
objectives: {accuracy: max, macs: min}
proxy: {data: cluttered_digits, resolution: 16, rungs: [1, 2, 3], images: 256, batch: 32}
baselines: []
search: {sampler: tpe, pruner: none, trials: 400, confirm: false, seed: 3}
"""


@dataclass
class Bench:
    """Where it happens, how often, and what was seen."""

    folder: Path
    times: int
    rng: random.Random
    broken: list[str] = field(default_factory=list)
    done: int = 0

    def expect(self, holds: bool, told: str) -> None:
        """Notes what does not hold."""
        if not holds:
            self.broken.append(told)

    def study(self, name: str, *, of: str | None = None) -> Path:
        """The results folder of a case: a copy of another one's, or an empty one."""
        results = self.folder / name
        shutil.rmtree(results, ignore_errors=True)
        if of is None:
            results.mkdir()
        else:
            shutil.copytree(self.folder / of, results)
        return results


class Search:
    """A search that runs, as ``searching.py``, and what it acknowledges to an oracle."""

    def __init__(self, results: Path, oracle: Oracle, **options: Any) -> None:
        self.oracle = oracle
        options = {"name": "tiny", "workers": 1, **options}
        self.process = subprocess.Popen(
            [
                *(sys.executable, HERE / "searching.py", results.parent / "tiny.yaml", results),
                json.dumps(options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, event: str, *, times: int) -> bool:
        """Until it was heard so often; False where the search ended before."""
        assert self.process.stdout is not None
        while times:
            line = self.process.stdout.readline()
            if not line:
                return False
            self._hear(line)
            times -= json.loads(line)["event"] == event
        return True

    def workers(self) -> list[int]:
        """Processes that it has started."""
        with suppress(OSError):
            task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            return [int(pid) for pid in task.read_text().split()]
        return []

    def end(self) -> tuple[int, str]:
        """The exit code, and what was said on stderr."""
        out, err = self.process.communicate(timeout=600)
        for line in out.splitlines():
            self._hear(line)
        return self.process.returncode, err

    def _hear(self, line: str) -> None:
        with suppress(ValueError):  # the last line of a killed search may be half a one
            self.oracle.hear(json.loads(line))


def workers_killed(bench: Bench) -> None:
    _kill(bench, "workers", lambda search: search.workers()[:1])


def owners_killed(bench: Bench) -> None:
    _kill(bench, "owners", lambda search: [search.process.pid])


def _kill(bench: Bench, name: str, victims: Callable[[Search], list[int]]) -> None:
    results, oracle, is_begun = bench.study(name), Oracle(), False
    while bench.done < bench.times:
        search = Search(results, oracle, trials=10_000, resume=is_begun)
        is_begun = search.wait_for("TrialStarted", times=1) or is_begun
        workers: list[int] = []
        while bench.done < bench.times and not workers:
            time.sleep(bench.rng.uniform(0, 1.5))
            if search.process.poll() is not None:
                bench.broken.append("the search ended by itself")
                return
            killed = victims(search)
            workers = search.workers() if search.process.pid in killed else []
            for pid in killed:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            bench.done += bool(killed)
            if not workers:
                search.wait_for("RungFinished", times=1)
        search.process.send_signal(signal.SIGINT)
        search.end()
        bench.expect(_are_gone(workers), "a worker outlived its owner by 5 s")
        bench.broken += oracle.faults(results / "tiny")
    trials = num_ended(results / "tiny") + 1
    code, said = Search(results, oracle, trials=trials, resume=True).end()
    bench.expect(code == 0, f"it could not be resumed: {said}")
    bench.broken += oracle.faults(results / "tiny")


def _are_gone(pids: list[int]) -> bool:
    until = time.monotonic() + 5
    while any(_lives(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def resumed(bench: Bench) -> None:
    for seed in range(bench.times):
        Search(bench.study("plan"), Oracle(), trials=1, seed=seed).end()
        whole, parts = bench.study("whole", of="plan"), bench.study("parts", of="plan")
        options = {"trials": 8, "resume": True, "seed": seed}
        Search(whole, Oracle(), **options).end()
        cut, oracle = Search(parts, Oracle(), **options), Oracle()
        cut.wait_for("RungFinished", times=bench.rng.randint(1, 18))
        cut.process.kill()
        cut.end()
        Search(parts, oracle, **options).end()
        same = contents(whole / "tiny") == contents(parts / "tiny")
        bench.expect(same, f"seed {seed}: the halves are not the whole")
        bench.done += 1


def interrupted(bench: Bench) -> None:
    cases = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
    results, oracle, is_begun = bench.study("interrupted"), Oracle(), False
    for number, wanted in [cases[index % 3] for index in range(bench.times)]:
        search = Search(results, oracle, trials=10_000, resume=is_begun)
        is_begun = search.wait_for("TrialStarted", times=1) or is_begun
        time.sleep(bench.rng.uniform(0, 1.5))
        search.process.send_signal(number)
        twice = bench.rng.random() < 0.25
        if twice:
            search.process.send_signal(number)
        code, said = search.end()
        codes = {wanted, 1, -number} if twice else {wanted}
        bench.expect(code in codes, f"{number.name} ended with {code}: {said[-200:]}")
        bench.expect(twice or "--resume" in said, f"{number.name}: no way on: {said[-200:]}")
        bench.broken += oracle.faults(results / "tiny")
        bench.done += 1


def rivals(bench: Bench) -> None:
    results, oracle = bench.study("rivals"), Oracle()
    first = Search(results, oracle, trials=10_000)
    first.wait_for("TrialStarted", times=1)
    for _ in range(bench.times):
        code, said = Search(results, Oracle(), resume=True).end()
        named = f"the study is owned by process {first.process.pid} on " in said
        bench.expect((code, named) == (4, True), f"a rival ended with {code}: {said}")
        bench.done += 1
    first.process.kill()
    first.end()
    code, said = Search(results, oracle, trials=1, resume=True).end()
    bench.expect(code == 0, f"the lock of a dead owner was not free: {said}")


def disk_full(bench: Bench) -> None:
    with _small_disk(bench.folder / "disk") as disk:
        oracle = Oracle()
        Search(disk, oracle, trials=1).end()
        for _ in range(bench.times):
            search = Search(disk, oracle, trials=10_000, resume=True)
            search.wait_for("RungFinished", times=bench.rng.randint(1, 6))
            filler = disk / "filler"
            with suppress(OSError), filler.open("wb") as file:
                while True:
                    file.write(bytes(1 << 12))
                    file.flush()
            code, said = search.end()
            bench.expect(code == 4 and "Traceback" not in said, f"ended with {code}: {said[-300:]}")
            filler.unlink()
            bench.broken += oracle.faults(disk / "tiny")
            bench.done += 1
        trials = num_ended(disk / "tiny") + 1
        code, said = Search(disk, oracle, trials=trials, resume=True).end()
        bench.expect(code == 0, f"it did not go on: {said}")


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of a few MB, which only root may mount."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def damaged(bench: Bench) -> None:
    whole = bench.study("sound")
    Search(whole, Oracle(), trials=3).end()
    wanted = contents(whole / "tiny")
    for _ in range(bench.times):
        results = bench.study("damaged", of="sound")
        file = bench.rng.choice([results / "tiny" / "study.db", *results.rglob("*.safetensors")])
        content = bytearray(file.read_bytes())
        place = bench.rng.randrange(len(content))
        if bench.rng.random() < 0.5:
            content[place] ^= 1 << bench.rng.randrange(8)
        else:
            del content[place:]
        file.write_bytes(content)
        code, said = Search(results, Oracle(), trials=4, resume=True).end()
        where = f"{file.name} at {place}"
        bench.expect(code in (0, 4) and "Traceback" not in said, f"{where}: {code}: {said[-300:]}")
        if code == 0:
            kept = [row for row in contents(results / "tiny") if row[0] < 3]
            bench.expect(kept == wanted, f"{where}: other numbers, and nothing said")
        bench.done += 1


def spaces(bench: Bench) -> None:
    from archbench.errors import ArchbenchError
    from archbench.space import SearchSpace

    pieces = ["{", "}", "[", "]", ":", "\n", "  ", "- ", "&a", "*a", "<<", "!!", "1e999", "\0", "é"]
    for _ in range(1000 * bench.times):
        text = list(SPACE)
        for _ in range(bench.rng.randint(1, 6)):
            place = bench.rng.randrange(len(text))
            text[place] = bench.rng.choice([*pieces, "", bench.rng.choice(SPACE)])
        begun = time.monotonic()
        try:
            SearchSpace("".join(text), source="fuzz.yaml")
        except ArchbenchError as error:
            bench.expect((error.place or "").startswith("fuzz.yaml"), f"no place: {error}")
        except Exception as error:  # noqa: BLE001  which is what is looked for
            bench.broken.append(f"{type(error).__name__}: {error}: {''.join(text)!r}")
        bench.expect(time.monotonic() - begun < 1, f"took over a second: {''.join(text)!r}")
        bench.done += 1


def readers(bench: Bench) -> None:
    results, oracle = bench.study("readers"), Oracle()
    search = Search(results, oracle, trials=10_000)
    search.wait_for("TrialFinished", times=1)
    code = (
        "import sys; from archbench.analysis.study import open_study\n"
        "for r in open_study(sys.argv[1]).trials():\n"
        "    assert r.state != 'complete' or [p.epoch for p in r.curve] == [1, 2, 3], r\n"
        "    assert r.state != 'complete' or r.proxy_accuracy == r.curve[-1].accuracy, r\n"
    )
    for _ in range(bench.times):
        command = [sys.executable, "-c", code, str(results / "tiny")]
        read = subprocess.run(command, capture_output=True, text=True, check=False)
        bench.expect(read.returncode == 0, read.stderr[-300:])
        bench.expect(search.wait_for("RungFinished", times=1), "the search ended beside a reader")
        bench.done += 1
    search.process.kill()
    search.end()
    bench.broken += oracle.faults(results / "tiny")


FAULTS: dict[str, tuple[str, Callable[[Bench], None]]] = {
    "worker": (
        "kill -9 of a worker at a random moment",
        workers_killed,
    ),
    "owner": (
        "kill -9 of the owner at a random moment; no worker outlives it by 5 s",
        owners_killed,
    ),
    "resume": (
        "N trials are N/2, a kill and N/2 more, bit for bit",
        resumed,
    ),
    "signals": (
        "Ctrl-C, Ctrl-C twice, SIGTERM, SIGHUP: exit code, a study that loads, the way on",
        interrupted,
    ),
    "rival": (
        "a second owner is refused with pid, host and time; a dead one's lock is free",
        rivals,
    ),
    "full": (
        "the disk is full at a random moment: code 4, plain words, and on after room was made",
        disk_full,
    ),
    "damage": (
        "a bit of the database or a checkpoint flips, or its end is gone: told, or nothing changed",
        damaged,
    ),
    "spaces": (
        "a space file with random damage: read or refused with its place, at once",
        spaces,
    ),
    "reader": (
        "a reader beside a search sees whole trials alone, and holds nobody up",
        readers,
    ),
}


def main() -> int:
    """Breaks what was asked for; 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=10, help="how often each")
    parser.add_argument("--only", default=",".join(FAULTS))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    (asked.folder / "tiny.yaml").write_text(SPACE)
    os.environ["ARCHBENCH_CACHE"] = str(asked.folder.resolve() / "cache")
    has_held = True
    print("| fault | times | did not hold | seconds |\n|---|---|---|---|")
    for name in asked.only.split(","):
        bench = Bench(asked.folder.resolve(), asked.times, random.Random(f"{asked.seed} {name}"))
        what, run = FAULTS[name]
        begun = time.monotonic()
        try:
            run(bench)
        except (OSError, subprocess.SubprocessError) as error:
            bench.broken.append(f"the fault could not be made: {error}")
        seconds = time.monotonic() - begun
        print(f"| {what} | {bench.done} | {len(bench.broken)} | {seconds:.0f} |", flush=True)
        for told in bench.broken[:5]:
            print(f"  {told}", file=sys.stderr)
        row = {"fault": name, "times": bench.done, "broken": bench.broken, "seconds": seconds}
        row |= {"seed": asked.seed, "when": datetime.now().isoformat(timespec="seconds")}
        with (asked.folder / "faults.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        has_held = has_held and not bench.broken
    return 0 if has_held else 1


if __name__ == "__main__":
    sys.exit(main())
