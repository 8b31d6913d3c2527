"""A factor is found by its short name, each form differs in one, and none is dropped."""

from dataclasses import replace

import pytest

from archbench.errors import ArchbenchError, SpaceError, SpecError, UsageError
from archbench.models import ArchSpec, as_spec, count
from archbench.search.ablation.factor import Form, forms_of, full_path
from archbench.search.ablation.request import AblationSettings
from tests.search.ablation.toy import SPEC

BASE = as_spec(SPEC)
PROXY = AblationSettings(resolution=16).proxy(num_classes=BASE.num_classes)


def _forms(*axes: str, base: ArchSpec = BASE) -> dict[str, Form]:
    return {form.name: form for form in forms_of(base, axes, proxy=PROXY)}


@pytest.mark.parametrize(
    ("short", "path"),
    [
        ("position", "stages[all].position"),
        ("mlp_ratio", "stages[all].block.mlp_ratio"),
        ("block.key_dim", "stages[all].block.key_dim"),
        ("embed.kernel", "stages[all].embed.kernel"),
        ("kernel", "stages[all].embed.kernel"),
        ("head.norm", "head.norm"),
        ("num_classifiers", "head.num_classifiers"),
        ("stages[1].dim", "stages[1].dim"),
        ("stages[each].dim", "stages[each].dim"),
    ],
)
def test_short_name_means_one_place(short: str, path: str) -> None:
    document = SPEC if short != "mlp_ratio" else {**SPEC, "stages": SPEC["stages"][:1]}
    assert str(full_path(document, short)) == path


@pytest.mark.parametrize("name", ["norm", "key_dim"])
def test_name_of_several_places_is_refused_with_them(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name} could mean .*\bblock\b|embed.* or ") as caught:
        full_path(SPEC, name)
    assert "embed" in caught.value.message
    assert "write one of them" in str(caught.value)


def test_all_turns_every_part_at_once_and_each_one_after_another() -> None:
    both = _forms("stages[all].block.num_heads=4")
    assert list(both) == ["stages[all].block.num_heads=4"]
    (form,) = both.values()
    assert form.spec is not None
    assert [stage["block"]["num_heads"] for stage in form.spec.to_document()["stages"]] == [4, 4]
    apart = _forms("stages[each].block.num_heads=4")
    assert list(apart) == ["stages[0].block.num_heads=4", "stages[1].block.num_heads=4"]
    heads = [
        [stage["block"]["num_heads"] for stage in form.spec.to_document()["stages"]]
        for form in apart.values()
        if form.spec
    ]
    assert heads == [[4, 2], [2, 4]]


def test_each_form_differs_from_the_base_in_its_own_knob_alone() -> None:
    forms = _forms("position=absolute", "stages[0].dim=32")
    dim = forms["stages[0].dim=32"].spec
    assert dim is not None
    assert [stage["position"] for stage in dim.to_document()["stages"]] == ["bias", "bias"]


def test_value_of_the_base_is_the_base() -> None:
    forms = _forms("position=bias,none", "teacher=none,convolutional")
    keys = {name: form.key for name, form in forms.items()}
    assert keys["position=bias"] == keys["teacher=none"] == BASE.digest
    assert keys["teacher=convolutional"].startswith(f"{BASE.digest}-")
    assert keys["position=none"] != BASE.digest


def test_counts_are_exact() -> None:
    form, base = (count(form.spec) for form in _forms("position=none,bias").values() if form.spec)
    grids = 16 * 2 + 16 * 2 + 4 * 2  # offsets times heads: block, shrinking attention, block
    assert base.params - form.params == grids
    assert base.macs == form.macs


def test_illegal_form_is_listed_with_its_reason() -> None:
    forms = _forms("stages[0].dim=16,3", "position=sideways", "teacher=regnet")
    assert forms["stages[0].dim=16"].reason == ""
    assert "stages[1].embed" in forms["stages[0].dim=3"].reason
    assert "sideways" in forms["position=sideways"].reason
    assert "use one of none, convolutional" in forms["teacher=regnet"].reason
    assert forms["position=sideways"].spec is None


def test_form_that_is_illegal_as_a_proxy_is_listed() -> None:
    (form,) = forms_of(BASE, ["position=none"], proxy=replace(PROXY, resolution=2, stem="as_is"))
    assert "does not fit the map of 2x2" in form.reason


def test_whole_parts_and_lists_are_values() -> None:
    forms = _forms(
        "stages[0].embed={kind: conv, kernel: 4, stride: 4, padding: 0},{kind: conv_stem, "
        "num_convs: 2}",
        "stages[0].drop_path=0.1,[0, 0.1]",
    )
    assert list(forms) == [
        "stages[0].embed=conv(kernel=4, stride=4, padding=0)",
        "stages[0].embed=conv_stem(num_convs=2)",
        "stages[0].drop_path=0.1",
        "stages[0].drop_path=[0, 0.1]",
    ]
    assert not any(form.reason for form in forms.values())


@pytest.mark.parametrize(
    ("axis", "error", "told"),
    [
        (
            "position",
            UsageError,
            "'position' is not a factor with values; write it like position=bias,none",
        ),
        ("=bias", UsageError, "is not a factor with values"),
        ("position=", UsageError, "is not a factor with values"),
        ("position=bias,bias", SpaceError, "stands here twice"),
        ("stages[9].dim=8", SpecError, "9 is not among them"),
        ("stages[0].block.kv_stride=1", SpecError, "kv_stride"),
        (
            "resolution=32",
            UsageError,
            "cannot be a factor, since all forms are trained on the same",
        ),
        ("stages[0].embed.kind=conv", SpaceError, "a kind is chosen with its fields"),
        ("position=[bias", SpaceError, "is not valid YAML"),
    ],
)
def test_what_is_no_axis_is_refused(axis: str, error: type[ArchbenchError], told: str) -> None:
    with pytest.raises(error) as caught:
        _forms(axis)
    assert told in str(caught.value)


def test_same_form_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="position=none is asked for twice"):
        _forms("position=none", "position=none")
