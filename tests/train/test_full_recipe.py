"""Recipes of papers hold what their released code does, and refuse what cannot be."""

import json
import math
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archbench.data.augmentation import Augmentation
from archbench.errors import MissingError, UsageError
from archbench.models import as_spec, build
from archbench.train.decay import decay_groups
from archbench.train.full_recipe import FullRecipe, recipe_names
from archbench.yaml_document import load_yaml

timm_scheduler = pytest.importorskip("timm.scheduler")
RECIPES = Path("archbench/train/recipes")


@pytest.mark.parametrize("name", recipe_names())
def test_a_file_writes_every_field_and_says_where_it_is_from(name: str) -> None:
    text = (Path(__file__).parents[2] / RECIPES / f"{name}.yaml").read_text()
    written = load_yaml(text, source=name).plain()
    assert list(written) == [one.name for one in fields(FullRecipe)]
    assert list(written["augmentation"]) == [one.name for one in fields(Augmentation)]
    assert "arXiv:" in text
    recipe = FullRecipe.load(name)
    assert FullRecipe.from_document(json.loads(json.dumps(recipe.document()))) == recipe


@pytest.mark.parametrize(
    ("name", "peak"),
    [("levit", 8e-3), ("cvt", 2e-3), ("deit", 1e-3), ("finetune", 2e-4), ("scratch", 2e-3)],
)
def test_peak_rates_are_those_of_the_papers(name: str, peak: float) -> None:
    assert math.isclose(FullRecipe.load(name).peak_rate, peak)


def test_rate_grows_with_the_batch_and_its_ends_do_not() -> None:
    recipe = FullRecipe.load("levit", ["recipe.batch=2048"])
    assert math.isclose(recipe.peak_rate, 2e-3)
    assert recipe.learning_rate(0) == 1e-6


def _as_timm_is_driven(recipe: FullRecipe, *, ahead: int) -> list[float]:
    """The rate of each epoch when step() is called after it with its number, or one more."""
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=recipe.peak_rate)
    scheduler = timm_scheduler.CosineLRScheduler(
        optimizer,
        t_initial=recipe.epochs,
        lr_min=recipe.min_rate,
        warmup_t=recipe.warmup_epochs,
        warmup_lr_init=recipe.warmup_rate,
    )
    rates = []
    for epoch in range(recipe.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(epoch + ahead)
    return rates


@pytest.mark.parametrize(
    ("name", "ahead"), [("levit", 0), ("deit", 0), ("cvt", 1), ("finetune", 1), ("scratch", 1)]
)
def test_rates_are_those_of_timm_driven_as_the_released_code_does(name: str, ahead: int) -> None:
    recipe = FullRecipe.load(name)
    rates = [recipe.learning_rate(epoch) for epoch in range(recipe.epochs)]
    assert rates == _as_timm_is_driven(recipe, ahead=ahead)


def test_levit_trains_two_epochs_at_the_rate_where_the_warm_up_begins() -> None:
    recipe = FullRecipe.load("levit")
    assert recipe.learning_rate(0) == recipe.learning_rate(1) == 1e-6 < recipe.learning_rate(2)


def _shapes(parameters: list[nn.Parameter]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(parameter.shape) for parameter in parameters)


def test_levit_decays_what_timm_decays_of_it() -> None:
    import timm
    from timm.optim import param_groups_weight_decay

    theirs = timm.create_model("levit_128s", pretrained=False)
    spared = theirs.no_weight_decay()
    others, decayed = param_groups_weight_decay(theirs, 0.025, no_weight_decay_list=spared)
    recipe = FullRecipe.load("levit")
    mine = decay_groups(build("levit_128s"), no_decay=recipe.no_decay)
    assert _shapes(mine[0]) == _shapes(decayed["params"])
    assert _shapes(mine[1]) == _shapes(others["params"])


def test_cvt_spares_norms_biases_and_the_class_token_but_not_depthwise_convolutions() -> None:
    network = build("cvt_13")
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decayed, others = decay_groups(network, no_decay=FullRecipe.load("cvt").no_decay)
    assert {names[id(p)] for p in others} == {
        name
        for name in names.values()
        if name.endswith((".bias", "class_token")) or "norm.weight" in name
    }
    assert len(decayed) + len(others) == len(names)
    depthwise = [names[id(p)] for p in decayed if p.ndim == 4 and p.shape[1] == 1]
    assert len(depthwise) == 3 * 13


def test_shared_and_frozen_parameters_are_grouped_once_and_not_at_all() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    network[2].requires_grad_(False)
    decayed, others = decay_groups(network, no_decay=["bias"])
    assert [id(p) for p in decayed] == [id(network[0].weight)]
    assert [id(p) for p in others] == [id(network[0].bias), id(network[1].bias)]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("recipe.emma=0.9", r"--set recipe.emma:1:1: unknown field .* 'emma'; did you mean ema\?"),
        ("recipe.augmentation.flop=1", r"did you mean augmentation.flip\?"),
        ("recipe.ema=1", r"recipe.ema: 1 is not a number from 0 to 0.999999"),
        ("recipe.epochs=0", r"recipe.epochs: 0 is not a whole number from 1 to 100000"),
        ("recipe.epochs=3", r"recipe.warmup_epochs: 5 cannot be; use at most 3"),
        ("recipe.rate=0", r"recipe.rate: 0 cannot be; use a number above 0"),
        ("recipe.rate=fast", r"recipe.rate: 'fast' is not a number"),
        ("recipe.compile=1", r"recipe.compile: 1 is neither true nor false"),
        ("recipe.no_decay=[1d, biass]", r"unknown kind of parameter 'biass'; did you mean bias"),
        ("recipe.no_decay=bias", r"recipe.no_decay: 'bias' is not a list of names"),
        ("recipe.clip_mode=norm", r"recipe.clip: 0.0 cannot be; use a number above 0"),
        ("recipe.evaluate=ema", r"recipe.evaluate: 'ema' cannot be; use raw, or an ema above 0"),
        ("recipe.precision=int8", r"recipe.precision: 'int8' is not one of fp32, bf16, fp16"),
        ("recipe.accumulate=3", r"recipe.batch: 2048 cannot be; use a multiple of accumulate"),
        (
            "recipe.augmentation.drop_last=false",
            r"recipe.mixup: 0.8 cannot be; use .*drop_last: true",
        ),
        ("recipe.teacher=null", r"recipe.teacher: None cannot be; use a name, or none"),
        ("recipe.drop_path=1", r"recipe.drop_path: 1 is not a number from 0 to 0.95"),
        ("recipe.augmentation.flip=2", r"augmentation.flip: 2 cannot be; use a probability"),
        ("recipe.ema", r"--set: 'recipe.ema' is not a setting; write it like PATH=VALUE"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_place(setting: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        FullRecipe.load("cvt", [setting])


def test_a_file_changes_the_recipe_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: levit\nepochs: 100\naugmentation:\n  repeats: 1\n")
    levit = FullRecipe.load("levit")
    augmentation = replace(levit.augmentation, repeats=1)
    assert FullRecipe.load(file) == replace(levit, epochs=100, augmentation=augmentation)
    assert FullRecipe.load(str(file), ["recipe.epochs=50"]).epochs == 50


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("base: levit\nrate: -1\n", r"mine.yaml:2:7: recipe.rate: -1 is not a number from 0"),
        ("base: levit\naugmentation: {flip: 2}\n", r"mine.yaml:2:22: augmentation.flip: 2"),
        ("base: levit\naugmentation: 2\n", r"mine.yaml:2:15: expected a mapping"),
        ("base: lefit\n", r"mine.yaml:1:7: unknown recipe 'lefit'; did you mean levit\?"),
        ("epochs: 3\nbatch: 8\n", r"mine.yaml: rate is missing; .* base: cvt"),
        ("epoch: 3\n", r"mine.yaml:1:1: unknown field of a recipe 'epoch'; did you mean epochs"),
        ("- 3\n", r"mine.yaml:1:1: expected a mapping, got a list"),
    ],
)
def test_a_fault_in_a_file_is_told_with_line_and_column(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError, match=told):
        FullRecipe.load(tmp_path / "mine.yaml")


def test_unknown_recipes_and_missing_files_are_told() -> None:
    with pytest.raises(
        UsageError, match=r"unknown recipe 'lefit'; did you mean levit\? known: levit"
    ):
        FullRecipe.load("lefit")
    with pytest.raises(MissingError, match=r"none\.yaml: no such file"):
        FullRecipe.load("none.yaml")


def test_a_batch_is_shared_out_over_processes_and_parts() -> None:
    recipe = FullRecipe.load("levit", ["recipe.accumulate=4"])
    assert [recipe.step_batch(world) for world in (1, 2, 8)] == [2048, 1024, 256]
    with pytest.raises(UsageError, match=r"8,192 images cannot be shared out over 3 processes"):
        recipe.step_batch(3)
    odd = {"batch": 6, "accumulate": 2}
    with pytest.raises(UsageError, match="parts of 3 images cannot be mixed in pairs"):
        replace(recipe, **odd).step_batch()
    assert replace(recipe, **odd, mixup=0.0, cutmix=0.0).step_batch() == 3


def _drop_paths(network: str, **changes: Any) -> list[Any]:
    recipe = replace(FullRecipe.load("cvt"), **changes)
    return [stage.drop_path for stage in recipe.with_drop_path(as_spec(network)).stages]


def test_drop_path_rises_over_the_layers_of_the_stages_that_are_named() -> None:
    own = [0.0, 0.0, (0.0, 0.1)]
    assert _drop_paths("cvt_13") == own
    named = _drop_paths("cvt_13", drop_path=0.1, drop_path_stages=(2,))
    assert named == [(0.0, 0.0), (0.0, 0.0), (0.0, 0.1)]
    first, second, third = _drop_paths("cvt_13", drop_path=0.12)  # depths 1, 2 and 10
    assert first == (0.0, 0.0)
    assert second == pytest.approx((0.01, 0.02))
    assert third == pytest.approx((0.03, 0.12))
    with pytest.raises(UsageError, match="the network has no stage 3; stages are counted from 0"):
        _drop_paths("cvt_13", drop_path=0.1, drop_path_stages=(3,))
