"""The stories of commands that measure or train, with masks for what differs from run to run."""

import random
from functools import partial
from pathlib import Path

from tests.golden.transcript import Story

STAGES = """\
stages:
  - embed: {kind: conv, kernel: 4, stride: 4, padding: 0, norm: batch}
    block: {kind: levit, num_heads: 2, key_dim: 8, attention_ratio: 1, mlp_ratio: 1}
    dim: 16
    depth: 1
    position: bias
head: {pool: mean, norm: batch, num_classifiers: 1}
"""
NETWORK = f"""\
name: toy
resolution: 16
num_classes: 7
{STAGES}"""
SPACE = f"""\
# Which toy is best?
resolution: 16
num_classes: 3
{STAGES}"""
SPACE += """\
axes:
  stages[0].dim: [8, 16, 24, 32]
  stages[0].depth: {from: 1, to: 3}
  stages[0].block.mlp_ratio: [1, 2]
  stages[0].block.num_heads: [1, 2, 4]
  stages[0].position: [bias, absolute, none]
objectives: {accuracy: max, macs: min}
proxy: {data: "folder:images", resolution: 16, rungs: [5, 10], batch: 16}
baselines: []
search: {sampler: random, pruner: none, trials: 3, seed: 3, workers: 1, certify: never,
  confirm: false}
"""

ABLATE = (
    "ablate toy.yaml --data folder:images --resolution 16 --epochs 5 --seeds 2 --workers 1 "
    "--no-latency --axes position=bias,none num_heads=99999"
)

TIMED = SPACE.replace("macs: min", "latency_ms: min") + "target: {backend: eager}\n"


TRAINED = (
    (r"(?<![\w.])(?:\d+ h \d+ min|\d+ min \d+ s|\d+(?:\.\d+)? s)\b", "# s"),
    (r"(?<![\w.])\d+(?:\.\d+)? ms\b", "# ms"),
    (r"until \d\d:\d\d", "until #"),
    (r"\b(?:fp32|bf16) (?:contiguous|channels.last)\b", "PLAN"),
    (r"loss \d\.\d+", "loss #"),
    (r"\b(sha256:? +)[0-9a-f]{64}", r"\1#"),
)
"""Durations and the plan of a training, as it runs on this machine."""

SERVED = (
    (r"(?<= )(\d)(?:  (?:[\d.,]+|–)){7}", r"\1  #"),
    (r"^toy serves [\d,]+ images/s at batch \d.*", "toy serves # images/s at batch #"),
    (r" ?p99: not available: fewer than 100 passes were made(?: \(batch [\d, ]+\))?", ""),
    (r" ?energy: not available: .*?(?= Other work|$)", ""),
    (r" ?Other work held the core for up to \d+% of the time\.", ""),
)
CONFIRMED = (
    (
        r"^trial \d+ is trained once more, with seed \d+",
        "trial # is trained once more, with seed #",
    ),
    (
        r"^(\[# s of # s\]) trial \d+: (.*) over \d+ trainings, Pareto-optimal with .*;",
        r"\1 trial #: \2 over # trainings, Pareto-optimal with #;",
    ),
)
"""Who is trained next goes by what a training takes."""

TIMES = (
    (r"[-+]?\d[\d.]* \([-+]?[\d.]+–[\d.]+\)\*?", "# (#–#)"),
    (r"^\* taken on a disturbed machine$", ""),
    (r" ?\d+ of \d+ latencies of the front (?:is|are) noisy because other work [^.]*\.", ""),
    (r" ?\btoy, batch \d: (?:disturbed|incomplete): .*", ""),
    (r"\b[\d,]+ images/s", "# images/s"),
    (r"takes about [\d.]+ ms by estimate", "takes about # ms by estimate"),
    (r"estimates: \d+\.\d %", "estimates: # %"),
    (r" ?\d+ of \d+ latencies are (?:disturbed|incomplete): .*?(?:doctor says why\)|says why)", ""),
    (r"hypervolume [\d.]+", "hypervolume #"),
    (r"^(on the front of the search)", r"\1"),  # what follows may have been left out
    (r"^(?:.* is )?(?:disturbed|incomplete)(?: \(.*\))?: .*", ""),
    (r", (?:disturbed|incomplete): .*", ""),
    (r"\b(?:stable|disturbed|incomplete)\b", "VERDICT"),
    (r"(# \(#–#\)  )[\d,]+(  VERDICT)", r"\1#\2"),
    (r"fastest [\d.]+ ms", "fastest # ms"),
    (r"^warning: .*", ""),
)
"""Latencies, verdicts and what is said of a disturbed machine."""

PARTS = (
    (r"^toy: .* takes \d.* % of [\d.]+ ms; its slowest part is .*", "toy: PARTS"),
    (r"\b\d+\.\d\d  \d+\.\d %", "#  # %"),
    (r"(whole  )\d+\.\d\d", r"\1#"),
    (r"(  \d+\.\d)  \d+(?:  \d+ %  (?:compute|memory|\d+ operators))?", r"\1  #"),
    (
        r"\d+ passes; (.*) take [\d.]+ ms instead of [\d.]+\.",
        r"# passes; \1 take # ms instead of #.",
    ),
    (r"\d+ GFLOP/s, \d+ GB/s (.*), \d+ GB/s", r"# GFLOP/s, # GB/s \1, # GB/s"),
    (r"[\d.]+ µs", "# µs"),
    (r" ?Other work held the core for \d+% of the time\.", ""),
)
RATIOS = (
    (r"[\d.]+ % \([\d.]+ to [\d.]+ %\)", "# % (# to # %)"),
    (r"^toy (?:is|ties|cannot be) .*\bstored toy\b.*", "RESULT"),
    (r"^Each network was timed at one memory placement.*", ""),
)
TAUS = (
    (r"(?:-?\d\.\d\d \[-?\d\.\d\d, -?\d\.\d\d\]|(?<=  )–)(?=  |$)", "#"),
    (r"\d+\.\d (?:%|points)", "#"),
)
CHECKUP = (
    (r"^(?:Right now only|Which differences) .*", "TRUSTED"),
    (r"^(A/A test|disturbed by|clock|GPU)  .*", r"\1  #"),
    (r"^(?:false \"faster\"|copies)  .*", ""),
    (r"^cores  .*; load average [\d.]+", "cores  #; load average #"),
    (
        r"^constants  \d+ kept(?:, taken \d+ times)?; (.*) [-+][\d.]+% (.*) [\d.]+% ",
        r"constants  # kept; \1 # \2 # ",
    ),
    (r"^disk  .*", "disk  #"),
    (r"^(\w+)  (cpu|cuda)  .*", r"\1  \2  #"),
    (r"^what to do (?:- .* )?(- results/nothing: .*)", r"what to do \1"),
)

ENVIRONMENT = (
    r"(?:.*\.)?environment\.(?:cpu|cores|memory_bytes|system|python|id)",
    r"?(?:.*\.)?environment\.gpu",
    r"-(?:.*\.)?environment\.packages\.(?:onnxruntime|openvino)",
    r"(?:.*\.)?environment\.packages\..*",
    r"(?:.*\.)?environment_id",
)
RAN = (
    *ENVIRONMENT,
    r"created|seconds|epoch_seconds|(?:.*\.)?tried",
    r"(?:.*\.)?plan\.(?:precision|memory_format)",
    r"?(?:.*\.)?plan\.(?:seconds|rejected)",
    r"(?:.*\.)?spent_s",
)
TIMED_VALUES = (
    r"(?:.*\.)?(?:median_ms|low_ms|high_ms|latency_ms|latency_low_ms|latency_high_ms)",
    r"(?:.*\.)?(?:images_per_second|forwards|speed_to_eager)",
    r".*\.(?:latency_)?(?:verdict|reason)",
    r"-(?:.*\.)?details\.(?:calibration_note|run_delay_share|repeats|repeated_because|calibrators_apart)",
    r"-(?:.*\.)?details\.first_sample_used",
    r"(?:.*\.)?details\..*",
)
PART_VALUES = (
    r"networks\.\d+\.(?:whole_ms|watched_ms|between_ms|rounds|off_cpu_share)",
    r"networks\.\d+\.limits\.(?:gflops|memory_gbs|cache_gbs|operator_us|note)",
    r"networks\.\d+\.parts\.\d+\.(?:ms|gflops|roof_share|bounds_ms\..*|bound_by)",
)
SERVING_VALUES = (
    r"networks\.\d+\.batches\.\d+\.(?:ms|wall_ms|images_per_second)",
    r"?networks\.\d+\.batches\.\d+\.(?:(?:p50|p95|p99|peak|energy)\.(?:value|reason)|off_cpu)",
    r"?networks\.\d+\.saturating_batch",
)
TIMED_FRONT = (r"hypervolume|doubt\.hypervolume\..*",)
RATIO_VALUES = (
    r"networks\.\d+\.latency\.(?:samples|value|low|high)",
    r"pairs\.\d+\.(?:outcome|rounds|placements|reason|ratio\..*)",
)
ESTIMATED = (r"estimates\.\d+\.(?:ms|low|high|error_percent|note)",)
CHECKUP_VALUES = (
    r"?test\.(?:resolution|off_cpu|drift|seat|note|due|disturbance)",
    r"test\.(?:generation|state|constants\..*)",
    r"?activity\..*|clocks\..*|load|gpu|disks|advice",
    r"?backends\.\d+\.(?:precisions|missing|help)",
)
WEIGHTS = (
    *RAN,
    r"(?:.*\.)?(?:sha256|loss|seconds|created|probability)",
    r"test\.worst\.\d+\.(?:image|class|predicted)",
)
TAU_VALUES = (
    r"?finding\.(?:rungs\.\d+\.median|.*\.agreement\..*|nulls\..*|ceiling\..*|spread\..*)",
    r"?candidates\.\d+\.(?:proxy|longer)\..*",
)


def write_images(folder: Path, *, low: int = 180) -> None:
    """Red, green and blue images of 16 px in ``images``; every network tells them apart.

    The colour is at least ``low``; with 0 no network can tell them apart.
    """
    from PIL import Image

    rng = random.Random(0)
    for channel, label in enumerate(("red", "green", "blue")):
        for split in ("train", "val"):
            home = folder / "images" / split / label
            home.mkdir(parents=True)
            for index in range(40):
                levels = bytearray(rng.randint(0, 255 - low) for _ in range(3 * 16 * 16))
                levels[channel::3] = bytes(rng.randint(low, 255) for _ in range(16 * 16))
                Image.frombytes("RGB", (16, 16), bytes(levels)).save(home / f"{index}.png")


def write_weights(folder: Path) -> None:
    """Images, and weights of the network that tell all of them blue."""
    import torch
    import yaml

    from archbench.data.image_preparation import Preparation
    from archbench.models import as_spec, build
    from archbench.models.weights.header import header
    from archbench.models.weights.weight_file import write_safetensors

    write_images(folder)
    spec = as_spec({**yaml.safe_load(NETWORK), "name": "toy", "num_classes": 3})
    network = build(spec, seed=0)
    tensors = network.state_dict()
    for name in tensors:
        if name == "head.classifiers.0.linear.bias":
            tensors[name] = torch.tensor([2.0, 1.0, 4.0])
    prepared = Preparation(resolution=16, resize=16, class_names=("red", "green", "blue"))
    texts = {**header(spec), **prepared.texts()}
    write_safetensors(folder / "toy.safetensors", tensors, metadata=texts)


def write_noise(folder: Path) -> None:
    """Images that are all alike, so that no network is better than guessing."""
    write_images(folder, low=0)


_timed = partial(Story, files={"toy.yaml": NETWORK}, is_slow=True)
_trained = partial(Story, files={"toy.yaml": SPACE}, prepare=write_images)

MEASURED = [
    _timed(
        name="profile-latency",
        commands=("profile toy.yaml", "profile toy.yaml toy.yaml --batch 1,2 --json"),
        masks=TIMES,
        values=(*ENVIRONMENT, *TIMED_VALUES),
    ),
    _timed(
        name="profile-where",
        commands=("profile toy.yaml --where", "profile toy.yaml --where --json"),
        masks=(*TIMES, *PARTS),
        values=(*ENVIRONMENT, *PART_VALUES),
    ),
    _timed(
        name="profile-serving",
        commands=(
            "profile toy.yaml --serving --batch 1,2",
            "profile toy.yaml --serving --batch 2 --json",
        ),
        masks=SERVED,
        values=(*ENVIRONMENT, *SERVING_VALUES),
    ),
    _timed(
        name="compare",
        commands=(
            "compare toy.yaml toy.yaml --set '2:stages[0].depth=6' --seconds 0.5 "
            "--fail-if slower:20% --save kept.json",
            "compare toy.yaml --seconds 0.5 --against kept.json",
            "compare toy.yaml --seconds 0.5 --against kept.json --batch 2",
            "compare toy.yaml toy.yaml --seconds 0.5 --json",
        ),
        masks=(*TIMES, *RATIOS),
        values=(*ENVIRONMENT, *TIMED_VALUES, *RATIO_VALUES),
    ),
    Story(
        name="estimate",
        commands=("estimate toy.yaml", "estimate --space toy-space.yaml --samples 2 --json"),
        files={"toy.yaml": NETWORK, "toy-space.yaml": SPACE},
        masks=TIMES,
        values=(*ENVIRONMENT, *ESTIMATED),
        is_slow=True,
    ),
    Story(
        name="predict",
        commands=(
            "predict toy.safetensors images/val/red/0.png images/val/red/1.png",
            "predict toy.safetensors images/val/blue/0.png --top 2",
            "predict toy.safetensors images/val/blue/0.png toy.yaml --json",
            "predict toy.safetensors nowhere.png",
            "predict toy.safetensors",
            "predict toy.yaml",
            "predict levit_128s cvt_13",
        ),
        files={"toy.yaml": NETWORK},
        prepare=write_weights,
        masks=((r"\d+\.\d %", "# %"),),
        values=(r"images\.\d+\.classes\.\d+\.probability",),
    ),
    Story(
        name="doctor",
        commands=("doctor nothing --seconds 1", "doctor --seconds 1 --json"),
        masks=CHECKUP,
        values=(*ENVIRONMENT, *CHECKUP_VALUES),
        is_slow=True,
    ),
    Story(
        name="weights-train",
        commands=(
            "train toy.yaml --data folder:images --epochs 2",
            "train toy.yaml --data folder:images --epochs 2",
            "train toy.yaml --data folder:images --epochs 2 --resume --json",
            "train toy.yaml --data folder:images --epochs 1 --resume",
            "ls results",
            "weights show results/trained-toy/last.safetensors",
            "weights show results/trained-toy/last.safetensors --json",
            "weights convert results/trained-toy/last.safetensors big.safetensors "
            "--classes 5 --resolution 32",
            "weights convert results/trained-toy/last.safetensors more.safetensors --json",
            "weights convert results/trained-toy/last.safetensors a.pth --to timm",
            "weights convert results/trained-toy/last.safetensors a.pth --to timmm",
            "weights convert results/trained-toy/last.safetensors a.safetensors --model levit_128",
            "profile toy.yaml --no-latency --pretrained",
        ),
        files={"toy.yaml": NETWORK},
        prepare=write_images,
        masks=TRAINED,
        values=WEIGHTS,
    ),
    _trained(
        name="search",
        commands=(
            "search toy.yaml --dry-run --json",
            "search toy.yaml --trials 2",
            "search toy.yaml",
            "search toy.yaml --resume",
            "search toy.yaml --from toy --name more --trials 4 --dry-run",
            "report toy --json",
            "report toy --format csv --format markdown --out elsewhere",
            "ls elsewhere",
            "train toy:1 --epochs 1 --out trained",
            "insight toy",
            "pick toy --macs 1G",
            "pick toy --knee --json",
            "pick toy --params 1",
            "profile toy:0 --no-latency",
            "profile toy:99 --no-latency",
            "ls results",
        ),
        masks=TRAINED,
        values=(*RAN, r"trial_seconds|expected_seconds|confirmation_seconds"),
    ),
    _trained(
        name="retrain",
        commands=(
            "search toy.yaml",
            "retrain toy --epochs 2 --top 2 --dry-run",
            "retrain toy --epochs 2 --top 2",
            "retrain toy --epochs 2 --top 2 --json",
            "retrain toy --epochs 2 --trials 99",
            "pick toy --macs 1G",
            "report toy",
            "ls results/toy",
        ),
        masks=TRAINED,
        values=(*RAN, r"(?:.*\.)?seconds", r"seed_sd|designs\.\d+\.above_first\..*"),
    ),
    _trained(
        name="confirm",
        commands=(
            "search toy.yaml --trials 2",
            "confirm toy --budget 10m --workers 1",
            "confirm results/toy --budget 10m --json",
        ),
        masks=(*TRAINED, *CONFIRMED),
        values=RAN,
        is_slow=True,
    ),
    Story(
        name="search-latency",
        commands=(
            "search toy.yaml --trials 2",
            "report toy --json",
            "measure toy",
            "measure toy --trials all --batch 2",
            "measure toy --trials all --json",
            "ls results",
            "pick toy --latency 1000",
            "pick toy --latency 0.000001",
            "profile toy:1 --where --json",
        ),
        files={"toy.yaml": TIMED},
        prepare=write_images,
        masks=(*TRAINED, *TIMES, *PARTS),
        values=(*RAN, *TIMED_VALUES, *TIMED_FRONT, *PART_VALUES),
        is_slow=True,
    ),
    Story(
        name="certify",
        commands=(
            "certify toy.yaml --candidates 8 --workers 1 --dry-run",
            "certify toy.yaml --candidates 8 --workers 1 --dry-run --json",
            "certify toy.yaml --candidates 8 --workers 1",
            "certify toy.yaml --candidates 8 --workers 1",
            "certify --name certify-toy --resume --json",
            "report certify-toy",
            "report certify-toy --format csv",
            "ls results",
        ),
        files={"toy.yaml": SPACE.replace("[5, 10]", "[1]")},
        prepare=write_noise,
        masks=(*TRAINED, *TAUS),
        values=(*RAN, *TAU_VALUES),
    ),
    Story(
        name="ablate",
        commands=(
            f"{ABLATE} --dry-run",
            f"{ABLATE}",
            f"{ABLATE}",
            f"{ABLATE} --resume --json",
            "report ablate-toy",
            "report ablate-toy --format csv",
            "ls results",
        ),
        files={"toy.yaml": NETWORK},
        prepare=write_images,
        masks=TRAINED,
        values=RAN,
    ),
]
