"""The stories whose transcripts are kept: every command and sub-command, and typical mistakes."""

from __future__ import annotations

from tests.golden.transcript import Story

SPACE = """\
# How deep and how wide?
base: levit_128s
axes:
  stages[0].dim: [64, 96, 128]
  stages[each].depth: {from: 1, to: 2}
  stages[0].position: [bias, none]
require:
  - stages[0].dim <= 96
limits: {latency_ms: 8}
"""

NETWORK = """\
name: toy
resolution: 16
num_classes: 7
stages:
  - embed: {kind: conv, kernel: 4, stride: 4, padding: 0, norm: batch}
    block: {kind: levit, num_heads: 2, key_dim: 8, attention_ratio: 1, mlp_ratio: 1}
    dim: 16
    depth: 1
    position: bias
head: {pool: mean, norm: batch, num_classifiers: 1}
"""

COMMANDS = (
    "ablate", "certify", "compare", "confirm", "doctor", "insight", "measure", "models",
    "models check", "models list", "models show", "pick", "predict", "profile", "report", "search",
    "space", "space count", "space list", "space sample", "space show", "space validate", "train",
    "weights", "weights convert", "weights fetch", "weights show",
)  # fmt: skip

BAD_SPACES = {
    "key.yaml": SPACE.replace("require:", "requires:"),
    "axis.yaml": SPACE.replace("stages[0].dim:", "stages[7].dim:"),
    "field.yaml": SPACE.replace("stages[0].position:", "stages[0].positon:"),
    "value.yaml": SPACE.replace("[bias, none]", "[bias, noen]"),
    "base.yaml": SPACE.replace("levit_128s", "levit_128z"),
    "text.yaml": SPACE.replace("[64, 96, 128]", "[64, 96, 128"),
    "tab.yaml": SPACE.replace("  stages[0].dim", "\tstages[0].dim"),
    "twice.yaml": SPACE + "limits: {latency_ms: 9}\n",
    "rule.yaml": SPACE.replace("<= 96", "<= width"),
    "none.yaml": SPACE.replace("<= 96", "<= 9"),
    "limit.yaml": SPACE.replace("latency_ms: 8", "latency: 8"),
    "negative.yaml": SPACE.replace("latency_ms: 8", "latency_ms: -8"),
    "range.yaml": SPACE.replace("from: 1, to: 2", "from: 2, to: 1"),
    "empty.yaml": "",
    "list.yaml": "- 1\n- 2\n",
    "target.yaml": SPACE + "target: {device: tpu}\n",
    "backend.yaml": SPACE + "target: {backend: eagre}\n",
    "objective.yaml": SPACE + "objectives: {accuracy: max, energy: min}\n",
    "proxy.yaml": SPACE + "proxy: {rungs: [8, 4]}\n",
    "data.yaml": SPACE + "proxy: {data: cluttered_digit}\n",
    "sampler.yaml": SPACE + "search: {sampler: tp}\n",
    "timeout.yaml": SPACE + "search: {timeout: 1 hour}\n",
}

STORIES = [
    Story(
        name="help/archbench",
        commands=("--help", "--version", "-h"),
    ),
    *(
        Story(name=f"help/{command.replace(' ', '-')}", commands=(f"{command} --help",))
        for command in COMMANDS
    ),
    Story(
        name="models",
        commands=(
            "models",
            "models --all",
            "models 'levit_128*'",
            "models 'cvt_13/t7*'",
            "models list levit_128s --json",
            "models levit_128s/a4 --json",
            "models show levit_128s",
            "models show cvt_13",
            "models show levit_128s/a6",
            "models show cvt_13 --json",
        ),
    ),
    Story(
        name="models-check",
        commands=(
            "models check levit_128s",
            "models check 'levit_128s/a[15]'",
            "models check levit_128s/a1 --json",
            "models check cvt_w24_384",
            "models check cvt_w24_384 --json",
        ),
    ),
    Story(
        name="space",
        commands=(
            "space",
            "space list --json",
            "space show small.yaml",
            "space show small.yaml --json",
            "space show quickstart",
            "space show hybrid",
            "space show levit_edge",
            "space show cvt_squeeze",
            "space show small.yaml --set 'stages[0].dim=96' --set limits.latency_ms=3",
            "space validate small.yaml",
            "space validate small.yaml --json",
            "space validate quickstart",
            "space count small.yaml",
            "space count small.yaml --json",
            "space count quickstart",
            "space count small.yaml --set 'stages[0].dim=96'",
        ),
        files={"small.yaml": SPACE},
    ),
    Story(
        name="space-sample",
        commands=(
            "space sample small.yaml",
            "space sample small.yaml -n 1 --seed 5 --json",
            "space sample quickstart -n 2 --seed 7",
        ),
        files={"small.yaml": SPACE},
    ),
    Story(
        name="profile-counts",
        commands=(
            "profile levit_128s --no-latency",
            "profile cvt_13 --no-latency",
            "profile levit_128s --no-latency --json",
            "profile levit_128s --no-latency --check",
            "profile toy.yaml --no-latency --check --json",
            "profile toy.yaml levit_128s cvt_13 --no-latency",
            "profile toy.yaml toy.yaml --no-latency --set 'stages[0].depth=2'",
            "profile levit_128s --no-latency --resolution 160x224",
        ),
        files={"toy.yaml": NETWORK},
        values=("environment",),
    ),
    Story(
        name="errors-words",
        commands=(
            "serch quickstart",
            "--jsn",
            "search",
            "search quickstart --trails 3",
            "models shw levit_128s",
            "space shw quickstart",
            "weights",
            "weights shw x",
            "weights show",
            "profile",
            "compare",
            "train levit_128s",
            "report",
            "report --json",
            "pick",
            "serch quickstart --json",
        ),
    ),
    Story(
        name="errors-network",
        commands=(
            "profile levit_128z --no-latency",
            "profile levit_128z --no-latency --json",
            "models levit_12z",
            "models show levit_128x",
            "models check levit_128x",
            "profile none.yaml --no-latency",
            "profile text.yaml --no-latency",
            "profile list.yaml --no-latency",
            "profile heads.yaml --no-latency",
            "profile kind.yaml --no-latency",
            "profile field.yaml --no-latency",
            "profile levit_128s --no-latency --set depth",
            "profile levit_128s --no-latency --set 'stages[9].depth=1'",
            "profile levit_128s --no-latency --set 'stages[0].dpth=1'",
            "profile levit_128s --no-latency --set 'stages[0].depth=[1'",
            "profile levit_128s --no-latency --set 'stages[0].block.num_heads=0'",
            "profile levit_128s --no-latency --resolution 1x2x3",
            "profile levit_128s --no-latency --resolution 0",
            "profile levit_128s --no-latency --batch 1,x",
            "profile levit_128s --threads 0",
            "profile levit_128s --device tpu",
            "profile levit_128s --backend eagre",
            "profile levit_128s --backend ,",
            "profile levit_128s --precision fp12",
            "profile levit_128s --no-latency --save x.svg",
            "profile levit_128s --serving --where",
            "profile levit_128s --where --check",
            "profile levit_128s --serving --backend openvino",
            "profile levit_128s --where --save x.svg --batch 1,2",
            "profile cvt_w24 --no-latency --pretrained",
            "profile levit_128s --no-latency --pretrained --set 'stages[0].depth=1'",
            "profile nothing:3 --no-latency",
            "profile module:nothing:build --no-latency",
        ),
        files={
            "text.yaml": NETWORK.replace("{pool: mean", "{pool mean"),
            "list.yaml": "- 1\n",
            "heads.yaml": NETWORK.replace("num_heads: 2", "num_heads: none"),
            "kind.yaml": NETWORK.replace("kind: levit", "kind: levti"),
            "field.yaml": NETWORK.replace("depth: 1", "dept: 1"),
        },
    ),
    Story(
        name="errors-space",
        commands=(
            *(f"space validate {name}" for name in BAD_SPACES),
            "space validate key.yaml --json",
            "space show quikstart",
            "space count none.yaml",
            "space sample none.yaml",
            "space show nothing/space.yaml",
            "space show quickstart --set search.trails=3",
            "space show quickstart --set search.trials",
            "space show quickstart --set search.trials=many",
            "space sample quickstart -n 0",
            "space sample quickstart --seed -1",
        ),
        files=BAD_SPACES,
    ),
    Story(
        name="errors-search",
        commands=(
            "search quikstart",
            "search key.yaml",
            "search quickstart --name ../up",
            "search quickstart --time soon",
            "search quickstart --time 1.5x",
            "search quickstart --trials 0",
            "search quickstart --sampler tp",
            "search quickstart --pruner curv",
            "search quickstart --set search.trails=3",
            "search quickstart --data folder:nowhere",
            "search quickstart --data cluttered_digit",
            "search quickstart --resume",
            "search quickstart --resume --name other",
            "search quickstart --from nothing",
            "search quickstart --confirm-budget much",
            "search quickstart --confirm",
            "search quickstart --confirm --trials 3",
            "search quickstart --confirm --resume --json",
            "confirm quickstart",
            "confirm quickstart --budget much",
            "confirm quickstart --trials 3",
            "search quickstart --workers 0",
            "search quickstart --seed x",
        ),
        files={"key.yaml": BAD_SPACES["key.yaml"]},
    ),
    Story(
        name="errors-certify-ablate",
        commands=(
            "certify",
            "certify quikstart",
            "certify quickstart --longer 8",
            "certify quickstart --name ../up",
            "certify quickstart --candidates 7",
            "certify quickstart --seeds 1",
            "certify --resume --name none",
            "ablate",
            "ablate levit_128s",
            "ablate levit_128s cvt_13 --axes position=none",
            "ablate levit_128s --axes positon=none",
            "ablate levit_128s --axes mlp_ratio=1",
            "ablate levit_128s --axes position=bias",
            "ablate levit_128z --axes position=none",
            "ablate --paper levit --axes position=none",
            "ablate --paper levti",
            "ablate --paper cvt --scale -1",
            "ablate --resume --name none",
            "ablate levit_128s --axes position=none --name ../up",
            "ablate levit_128s --axes position=none --data folder:nowhere",
            "ablate levit_128s --axes position=none --json --epochs 0",
        ),
    ),
    Story(
        name="errors-study",
        commands=(
            "report nothing",
            "report nothing --json",
            "report nothing --format pdf",
            "report empty",
            "report broken",
            "insight nothing",
            "measure nothing",
            "measure nothing --device tpu",
            "measure nothing --backend eagre",
            "pick nothing --knee",
            "pick nothing",
            "pick nothing --knee --latency 3",
            "pick nothing --params many",
            "pick nothing --accuracy 120",
            "pick nothing --latency 0",
            "pick nothing --knee --sure 100",
            "doctor --seconds 0",
        ),
        files={"results/empty/note.txt": "", "results/broken/study.db": "no database"},
    ),
    Story(
        name="errors-train-compare-predict",
        commands=(
            "train levit_128z --data cluttered_digits",
            "train levit_128s --data cluttered_digit",
            "train levit_128s --data folder:nowhere",
            "train levit_128s --data cifar10:nowhere",
            "train levit_128s --data x --epochs 0",
            "train toy.yaml --data cluttered_digits --resume",
            "train toy.yaml --data cluttered_digits --teacher vgg",
            "compare levit_128s",
            "compare toy.yaml toy.yaml --set '3:stages[0].depth=2'",
            "compare toy.yaml toy.yaml --fail-if 3%",
            "compare toy.yaml toy.yaml --fail-if slower:-3%",
            "compare toy.yaml --against nothing.json",
            "compare toy.yaml --against toy.yaml",
            "compare toy.yaml toy.yaml --seconds 0.1",
            "compare toy.yaml toy.yaml --save nothing/kept.json --device tpu",
            "predict",
            "predict levit_128s --space hybrid",
            "predict levit_128z",
            "predict --space hybird",
            "predict levit_128s --batch 0",
            "weights convert none.pth a.safetensors",
            "weights convert toy.yaml a.safetensors",
            "weights convert toy.yaml a.safetensors --set resolution=256",
            "weights show .",
            "weights show none.safetensors",
            "weights show toy.yaml",
            "weights fetch levit_128x",
            "weights fetch cvt_w24",
        ),
        files={"toy.yaml": NETWORK},
    ),
]
