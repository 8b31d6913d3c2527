"""Tables as people bring them, the regret of what was found in them, and that all samplers run."""

import csv
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import BENCHMARKS, module

SEEDS = ["accuracy_0", "accuracy_1", "accuracy_2"]
CODES = list(itertools.product(range(3), repeat=4))

Write = Callable[..., Any]


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return module("samplers", "sampler_table")


@pytest.fixture(scope="module")
def samplers() -> ModuleType:
    return module("samplers", "samplers")


def written(folder: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.fixture
def read(tables: ModuleType, tmp_path: Path) -> Write:
    return lambda head, rows: tables.read(written(tmp_path, head, rows))


def cost(code: Sequence[int]) -> float:
    return float(10 * np.exp(0.3 * sum(code) + 0.1 * code[0]))


def seen(code: Sequence[int], *, noise: float = 0.0) -> list[float]:
    rng = np.random.default_rng([*code])
    mean = 0.5 + 0.04 * sum(code) - 0.03 * (code[0] == 1) + 0.02 * (code[1] == code[2])
    return [mean + noise * value for value in rng.normal(size=3)]


def plain(code: Sequence[int], **changes: float) -> list[Any]:
    return [*code, cost(code), *seen(code, **changes)]


HEAD = ["a", "b", "c", "d", "cost", *SEEDS]


def test_regret_is_the_share_of_hypervolume_that_is_missed(read: Write) -> None:
    table = read(
        ["x", "cost", "accuracy_0"], [[0, 1, 0.2], [1, np.e, 0.5], [2, np.e**2, 0.6], [3, 9, 0.1]]
    )
    whole = 0.1 * np.log(9) + 0.3 * (np.log(9) - 1) + 0.1 * (np.log(9) - 2)
    assert table.best == pytest.approx(whole)
    assert table.regret([0, 2], table.truth) == pytest.approx(0.3 / whole)
    assert table.regret([0, 1, 2], table.truth) == pytest.approx(0.0)


def test_picks_are_by_what_was_seen_and_judged_by_the_mean(read: Write) -> None:
    table = read(
        ["x", "cost", *SEEDS], [[0, 1, 0.9, 0.1, 0.2], [1, 1, 0.5, 0.5, 0.5], [2, 9, 0, 0, 0]]
    )
    lucky = np.array([0.9, 0.5, 0.0])
    assert table.regret([0, 1, 2], lucky) == pytest.approx(1 - 0.4 / 0.5)


def test_percent_and_share_give_the_same_regret(read: Write) -> None:
    share = read(HEAD, [plain(code) for code in CODES])
    percent = read(HEAD, [[*code, cost(code), *[100 * v for v in seen(code)]] for code in CODES])
    rows = [3, 40, 77]
    assert percent.regret(rows, percent.truth) == pytest.approx(share.regret(rows, share.truth))


def test_order_of_columns_and_columns_of_one_value_do_not_matter(read: Write) -> None:
    head = ["accuracy_1", "d", "size", "cost", "b", "accuracy_0", "a", "accuracy_2", "c"]
    rows = []
    for code in CODES:
        one, other, third = seen(code)
        rows.append([other, code[3], 224, cost(code), code[1], one, code[0], third, code[2]])
    table = read(head, rows)
    assert [axis.name for axis in table.axes] == ["d", "b", "a", "c"]
    assert table.is_complete
    assert table.accuracy[7].tolist() == pytest.approx(seen(CODES[7]))


def test_texts_flags_and_numbers_are_choices(read: Write) -> None:
    kinds = [["conv", "attention", "none"], [0.25, 0.5, 1.5], ["True", "False", ""]]
    rows = [
        [*(kinds[axis][v] for axis, v in enumerate(code[:3])), code[3], cost(code), *seen(code)]
        for code in CODES
    ]
    table = read(["op", "ratio", "flag", "depth", "cost", *SEEDS], rows)
    assert [axis.is_ordered for axis in table.axes] == [False, True, False, True]
    assert table.axes[1].values == (0.25, 0.5, 1.5)


@pytest.mark.parametrize("first", ["arch", "number", "params"])
def test_one_column_of_all_choices_is_split_whatever_else_tells_rows_apart(
    read: Write, first: str
) -> None:
    found = {
        "arch": ["".join(map(str, code)) for code in CODES],
        "number": range(len(CODES)),
        "params": [1000.5 + 7 * place for place in range(len(CODES))],
    }
    names = sorted(found, key=lambda name: name != first)
    rows = [
        [*(found[name][place] for name in names), cost(code), *seen(code)]
        for place, code in enumerate(CODES)
    ]
    table = read([*names, "cost", *SEEDS], rows)
    assert [axis.name for axis in table.axes] == ["arch_0", "arch_1", "arch_2", "arch_3"]


def test_real_numbers_are_no_names_of_rows(read: Write) -> None:
    rng = np.random.default_rng(0)
    rows = [[*pair, 1 + pair[1], pair[0]] for pair in rng.random((60, 2)).round(6).tolist()]
    table = read(["rate", "share", "cost", "accuracy_0"], rows)
    assert [len(axis.values) for axis in table.axes] == [60, 60]


def test_what_a_table_lacks_is_said(tables: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,price,accuracy_0\n1,2,3\n")
    with pytest.raises(SystemExit, match="needs the columns cost and accuracy_0"):
        tables.read(path)


ALL = ["cost_aware", "tpe", "nsga2", "random", "front_mutation", "sms_emoa"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ALL)
def test_fewer_rows_than_the_budget(samplers: ModuleType, read: Write, name: str) -> None:
    table = read(HEAD, [plain(code) for code in CODES[::5]])
    run = samplers.search(table, name, seed=0, budgets=[5, 50])
    assert run.regrets[1] <= run.regrets[0]
    if name not in {"tpe", "nsga2"}:  # they ask for a row again
        assert run.regrets[1] == pytest.approx(0.0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("head", "rows"),
    [
        pytest.param(HEAD, [[*c, 10, *seen(c, noise=0.01)] for c in CODES], id="one cost"),
        pytest.param(
            HEAD, [[*c, 1 + 1e-9 * k, *seen(c)] for k, c in enumerate(CODES)], id="nearly one cost"
        ),
        pytest.param(HEAD, [[*c, c[0] - 1, *seen(c)] for c in CODES], id="ties, zero, negative"),
        pytest.param(HEAD, [plain(c) for c in CODES if c[0] < 2 or c[1] == 0], id="missing rows"),
        pytest.param(HEAD[:6], [plain(c)[:6] for c in CODES], id="one seed"),
        pytest.param(
            HEAD,
            [[*c, cost(c), *(100 * v for v in seen(c, noise=0.05))] for c in CODES],
            id="percent",
        ),
        pytest.param(HEAD, [[*c, cost(c), 0.5, 0.5, 0.5] for c in CODES], id="one accuracy"),
        pytest.param(
            ["config", *HEAD[4:]],
            [[json.dumps(dict(zip("abcd", c, strict=True))), *plain(c)[4:]] for c in CODES],
            id="JSON",
        ),
        pytest.param(["a", *HEAD[4:]], [[k, *plain(CODES[k])[4:]] for k in range(60)], id="1 axis"),
    ],
)
def test_any_table_is_searched_soundly(
    samplers: ModuleType, read: Write, head: list[str], rows: list[list[Any]]
) -> None:
    table = read(head, rows)
    observed = table.observation(0)
    found = samplers.sampler_peers.evaluated(
        "cost_aware", table, seed=0, budget=40, observed=observed
    )
    assert len(set(found)) == 40
    regrets = [table.regret(found[:count], table.truth) for count in (10, 40)]
    assert 0 <= regrets[1] <= regrets[0] <= 1
    assert regrets[1] < 0.1


def test_results_have_the_form_that_is_promised(
    samplers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, HEAD, [plain(code) for code in CODES])
    words = ["--table", str(path), "--samplers", "random", "--budgets", "9,5", "--seeds", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS / "samplers"))  # for its child
        patch.setattr("sys.argv", ["samplers.py", *words, "--jobs", "1", "--json"])
        samplers.main()
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "archbench.samplers/1"
    assert [(row["budget"], row["seeds"]) for row in told["results"]] == [(5, 2), (9, 2)]
    assert set(told["results"][0]) == {
        "sampler", "budget", "seeds", "regret", "standard_error", "seconds_per_trial"
    }  # fmt: skip
