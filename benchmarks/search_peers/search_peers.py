r"""Which system finds the better front for the same CPU-seconds?

The same space, proxy and data through archbench, plain Optuna (TPE multivariate, NSGA-II, GP),
Syne Tune and NePS, as far as they are installed. What each found is judged by trainings with seeds
that no search saw, and hypervolume (log cost, accuracy) is set against CPU-seconds.

    python benchmarks/search_peers/search_peers.py replay out-0.jsonl out-1.jsonl --cpu-seconds 800 \
        --systems archbench,optuna_tpe,optuna_nsga2 --seeds 0,1,2,3,4 --keep runs.jsonl
    python benchmarks/search_peers/search_peers.py summary runs.jsonl
    python benchmarks/search_peers/search_peers.py latencies benchmarks/hybrids/hybrids.yaml latencies.json
    python benchmarks/search_peers/search_peers.py live benchmarks/hybrids/hybrids.yaml --set proxy.seeds=1 \
        --cpu-seconds 200 --seeds 0 --systems archbench,optuna_tpe --keep live.jsonl

replay  A table of all networks of a space, each trained several times (trained_table.py), answers
        in place of training: an epoch costs its share of the CPU-seconds on record, and the time
        that a system thinks is measured and added. A search sees one training of each network, by
        chance; the others judge.
        With --latencies they are what is minimised, and each that is taken costs CPU time.
latencies  Of all candidates of a space, from this machine's block table.
live    ``archbench search`` as a user types it and a study of Optuna's whose objective trains and
        measures with archbench's functions, each until its CPU-seconds are used.

With --keep results go to a file, and what it holds already is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "samplers"))  # the tables

import search_peers_result
from search_peers_result import Result
from search_peers_run import Replay, Run, Training, complete, curve, read
from search_peers_systems import search, system

from archbench.evaluate.block_estimate import estimate_all
from archbench.search.settings import conditions_of
from archbench.space import SearchSpace

_SPACE = Path(__file__).resolve().parents[1] / "hybrids" / "hybrids.yaml"
_BY_MACS = "objectives={accuracy: max, macs: min}"


def main() -> None:
    """Parses and does one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("replay", help="search a table of trainings")
    step.add_argument("tables", type=Path, nargs="+")
    step.add_argument("--space", default=str(_SPACE))
    step.add_argument("--latencies", type=Path, help="JSON: digest to ms; MACs by default")
    step.add_argument("--latency-seconds", type=float, default=3.0, help="CPU time of one latency")
    step.set_defaults(run=_replay)
    _common(step, systems="archbench,optuna_tpe,optuna_nsga2", seconds=800)
    step = steps.add_parser("latencies", help="what replay can minimise in place of MACs")
    step.add_argument("space")
    step.add_argument("out", type=Path)
    step.set_defaults(run=lambda a: _latencies(SearchSpace.load(a.space), out=a.out))
    step = steps.add_parser("live", help="really train")
    _of_live(step)
    step.add_argument("--fresh", type=int, default=2, help="trainings of each member that judge")
    step.set_defaults(run=_live)
    _common(step, systems="archbench,optuna_tpe", seconds=200)
    step = steps.add_parser("summary", help="tables of results that were kept")
    step.add_argument("kept", type=Path)
    step.add_argument("--marks", default="100,200,300,400,600,800")
    step.set_defaults(
        run=lambda a: _print(search_peers_result.kept(a.kept), marks=_numbers(a.marks))
    )
    step = steps.add_parser("alone")  # one of Optuna's searches of ``live``, in its own process
    _of_live(step)
    _common(step, systems="", seconds=200)
    step.set_defaults(run=_alone)
    arguments = parser.parse_args()
    arguments.run(arguments)


def _of_live(step: argparse.ArgumentParser) -> None:
    step.add_argument("space")
    step.add_argument("--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[])


def _common(step: argparse.ArgumentParser, *, systems: str, seconds: float) -> None:
    step.add_argument("--systems", default=systems)
    step.add_argument("--cpu-seconds", type=float, default=seconds)
    step.add_argument("--seeds", default="0,1,2,3,4")
    step.add_argument("--keep", type=Path, help="file of results, which goes on")
    step.add_argument("--marks", default="100,200,300,400,600,800")


def _replay(arguments: argparse.Namespace) -> None:
    latencies = arguments.latencies and json.loads(arguments.latencies.read_text())
    space = SearchSpace.load(arguments.space, overrides=() if latencies else (_BY_MACS,))
    found = read(arguments.tables)
    if not complete(space, found):
        sys.exit("the table lacks networks of the space; train them with trained_table.py")
    once = sum(len(trainings) == 1 for trainings in found.values())
    if once:
        print(f"note: {once} networks are judged by the training that is seen", file=sys.stderr)
    results = search_peers_result.kept(arguments.keep) if arguments.keep else []
    done = {(result.system, result.seed) for result in results}
    for name in arguments.systems.split(","):
        system(name)  # an unknown one ends it before anything is searched
    for name in arguments.systems.split(","):
        for seed in map(int, arguments.seeds.split(",")):
            if (name, seed) in done:
                continue
            result = replayed(
                name,
                space=space,
                found=found,
                seed=seed,
                budget=arguments.cpu_seconds,
                latencies=latencies,
                latency_seconds=arguments.latency_seconds if latencies else 0.0,
            )
            results.append(result)
            if arguments.keep:
                search_peers_result.keep(arguments.keep, result)
            print(f"\r{name} {seed}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    _print(results, marks=_numbers(arguments.marks))


def _latencies(space: SearchSpace, *, out: Path) -> None:
    """Writes digest to ms."""
    specs = [space.decode(choices) for choices in space.enumerate()]
    found = estimate_all(specs, conditions_of(space))
    out.write_text(json.dumps({prediction["digest"]: prediction["ms"] for prediction in found}))
    error = statistics.fmean(prediction["error_percent"] for prediction in found)
    print(f"{len(found)} networks, mean error {error:.1f} %")


def replayed(
    name: str,
    *,
    space: SearchSpace,
    found: dict[str, list[Training]],
    seed: int,
    budget: float,
    latencies: dict[str, float] | None = None,
    latency_seconds: float = 0.0,
) -> Result:
    """One search of the table, judged."""
    replay = Replay(
        found,
        axes=[axis.name for axis in space.axes],
        seed=seed,
        latencies=latencies,
        latency_seconds=latency_seconds,
    )
    run = search(name, Run(replay, budget=budget), space=space, seed=seed)
    table, rows = replay.judge()
    return Result(
        system=name,
        seed=seed,
        budget=budget,
        trials=run.trials,
        epochs=run.epochs_trained,
        thinking=run.seconds - run.charged,
        shares=tuple(curve(run.events, table=table, rows=rows)),
    )


def _live(arguments: argparse.Namespace) -> None:
    from search_peers_live import live

    live(
        arguments.space,
        overrides=arguments.overrides,
        systems=arguments.systems.split(","),
        seeds=[int(seed) for seed in arguments.seeds.split(",")],
        budget=arguments.cpu_seconds,
        fresh=arguments.fresh,
        kept=arguments.keep,
    )


def _alone(arguments: argparse.Namespace) -> None:
    from search_peers_live import alone

    alone(
        arguments.space,
        overrides=arguments.overrides,
        name=arguments.systems,
        seed=int(arguments.seeds),
        budget=arguments.cpu_seconds,
        out=arguments.keep,
    )


def _print(results: list[Result], *, marks: list[float]) -> None:
    print(search_peers_result.text(results, marks=marks))


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split(",")]


if __name__ == "__main__":
    main()
