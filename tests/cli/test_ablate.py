"""``archbench ablate``: what is asked, what is printed, what is refused."""

from pathlib import Path

from archbench.report.findings import ablation
from tests.cli.conftest import Run
from tests.search.ablation.toy import record

TEXT = """\
Significant differences in accuracy: 1 of 2 changes, with 3 seeds.
position=none: 1.7 points worse (0.2 to 3.1); 10 % faster; 64 fewer parameters.

change   params    MACs             latency, ms     accuracy, points
------  -------  ------  ----------------------  -------------------
position
  bias                                                      the base
  none      -64       0  -0.05 (-0.06 to -0.04)  -1.7 (-3.1 to -0.2)
stages[all].block.mlp_ratio
  2     +2.00 k  +100 k  +0.01 (-0.00 to +0.02)  +0.3 (-2.5 to +3.2)
peak_rate
  9           0       0                       –               failed

stages[all].block.mlp_ratio=2: no difference seen with 3 seeds; no difference in
  latency seen; 2.00 k more parameters; 100 k more MACs
peak_rate=9: every training failed; the same network, trained otherwise; seed 0
  failed (nan): the loss became nan

cannot be built:
depth=0: stages[0].position: needs attention

one: one factor at a time from toy
accuracy: 3 seeds of 8 epochs on cluttered_digits at 64 px, widths x 0.25, the
stem as it is, taught by a convolutional network

base  12,345 parameters, 678,900 MACs, 0.50 (0.49–0.51) ms
      72.0 % of the validation images (by seed: 71.0, 72.0, 73.0)

Student's t."""

PAPER = """\
row            top-1, %  paper, points         here, points  sign
-------------  --------  -------------  -------------------  --------------
position=none      70.4           -1.5  -1.7 (-3.1 to -0.2)  sign confirmed
position=none: A5: without attention bias (LeViT, table 5)"""


def _words(folder: Path, *options: str) -> list[str]:
    return [
        "ablate", str(folder / "toy.yaml"), "--data", f"folder:{folder / 'images'}",
        "--resolution", "16", "--epochs", "1", "--seeds", "2", "--workers", "1", "--no-latency",
        "--results", str(folder / "results"), *options,
    ]  # fmt: skip


def test_text_says_what_each_factor_costs_and_buys(tmp_path: Path) -> None:
    text = ablation.finding(record(tmp_path / "one")).text()
    assert text == TEXT
    assert max(len(line) for line in text.splitlines()) <= 80


def test_text_of_a_paper_has_its_signs(tmp_path: Path) -> None:
    text = ablation.finding(record(tmp_path / "one", is_paper=True)).text()
    assert PAPER in text
    assert "Of 1 row of the paper: 1 sign confirmed." in " ".join(text.split("\n\n")[0].split())
    assert "  -64  " in text
    assert text.endswith("The paper trains for longer.")


def test_an_ablation_of_the_teacher_says_how_good_it_is(run: Run, folder: Path) -> None:
    ended = run(*_words(folder, "--axes", "position=none", "--teacher", "convolutional"))
    assert ended.code == 0
    assert "\nThe convolutional teacher is right on " in ended.out


def test_dry_run_says_what_fits_into_the_time(run: Run, folder: Path) -> None:
    ended = run(
        *_words(folder, "--axes", "position=none", "--max-minutes", "1", "--dry-run"),
        "--seeds", "9000", "--epochs", "30", "--name", "dry",
    )  # fmt: skip
    assert (ended.code, ended.out) == (0, "")
    assert " of 9000 seeds and " in ended.err
    assert "next: archbench ablate " in ended.err
    assert not (folder / "results" / "dry").exists()
