"""Space files: what is refused and where, the sections, what is set from outside."""

import random
import time
from pathlib import Path

import pytest

from archbench.errors import ArchbenchError, SpaceError, UsageError
from archbench.space import SearchSpace, shipped
from archbench.space.file import find
from archbench.space.reader import parse_duration
from archbench.space.reading import first_comment
from archbench.space.sections import SearchSection, override
from tests.space.conftest import NETWORK


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("axes: {}", "small.yaml:1:1: there is no network to start from; write  base: NAME"),
        ("base: [levit_128s]", "1:7: a list is not text"),
        ("base: levit_128s\nresolution: 32", "2:1: resolution stands beside base; write  set: "),
        ("base: cvt_13\nset: {head.pol: mean}", "2:7: head.pol: unknown .*did you mean pool"),
        ("base: cvt_13\nset: {head.pool: 3}", "2:7: head.pool: 3 is not one of mean, class_token"),
        ("base: cvt_13\nname: ../x", r"2:7: '../x' is not a name"),
        ("base: cvt_13\naxes: 3", "2:7: expected a mapping, got a number"),
        ("stages: []", "small.yaml:1:1: resolution is missing"),
    ],
)
def test_a_file_that_is_no_space_is_refused_with_its_place(text, message):
    with pytest.raises(SpaceError, match=message):
        SearchSpace(text, source="small.yaml")


def test_an_illegal_network_is_refused_where_it_is_written():
    with pytest.raises(SpaceError, match=r"small.yaml:5:49: stages\[0\].block.kv_stride: 0 is not"):
        SearchSpace(NETWORK.replace("kv_stride: 2", "kv_stride: 0"), source="small.yaml")


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("stages[0]dim: [1]", "16:3: 'stages.0.dim' is not a path: expected '.' or the end"),
        ("stages[each].block.window: [1]", "unknown field of stages.each..block 'window'"),
        ("stages[0].layers[4].kv_stride: [1]", r"stages\[0\] has 1 layers, 4 is not among them"),
        ("stages[0].block.kind: [cvt]", "a kind is chosen with its fields; write whole parts"),
        ("stages: [1]", "16:3: stages: cannot be an axis"),
        ("num_classes: [2, 10]", "16:3: num_classes: cannot be an axis, since a study compares"),
        ("resolution: [16, 24]", "16:3: resolution: 32, that of the base, is not among the values"),
        ("resolution: [32, 7.5]", "16:20: resolution: 7.5 is not the side of square images"),
        ("resolution: [32, [32, 48]]", "16:20: resolution: a list is not the side of square"),
        ("resolution: [32, 2]", "16:20: .* trained at 2 px, and 8 to 1024 px can be prepared"),
        ("stages[0].dim: 32", "16:18: expected values to choose from, got a number; write"),
        ("stages[0].dim: []", "16:18: stages.0..dim: no values to choose from"),
        ("stages[0].dim: [32, 64, 32]", "16:27: stages.0..dim: the value 32 stands here twice"),
        ("stages[0].dim: [32, 32.0]", "stands here twice"),
        ("stages[0].dim: [32, 0]", "16:23: .* never legal: stages.0..dim: 0 is not a whole number"),
        ("stages[0].dim: [32, 33]", "16:23: .*33 is never legal: stages.0..block.head_dim: 16 doe"),
        ("stages[0].dim: [[32]]", "never legal"),
        ("stages[0].dim: [{a: 1}]", "16:19: .*expected a single value, got a mapping"),
        ("stages[0].depth: [2000000000]", "never legal"),
        ("stages[0].dim: {from: 1}", "16:18: to is not a number"),
        ("stages[0].dim: {from: 1, to: 9e9}", "9,000,000,000 values from 1 to 9000000000.0; at"),
        ("stages[0].dim: {from: 1, to: 9, by: 2}", "16:35: unknown key of an axis 'by'"),
        ("stages[0].dim: {values: [32], wen: a}", r"16:33: .*did you mean when\?"),
        ("stages[0].dim: {values: {values: [32], when: macs > 3}}", "when stands beside values"),
        ("stages[0].dim: {values: [32], when: macs > 3}", "16:39: when cannot read macs"),
        ("stages[0].dim: {values: [32], when: head.pool = a}", "16:39: .*compare with =="),
        ("stages[0].dim: {values: [32], when: head.pol == a}", "16:3: head.pol: unknown field"),
        ("stages[0].block: [cvt]", "16:21: .*expected a part with a kind, got text"),
        ("stages[0].block: [{kind: cvtt}]", r"16:28: .*unknown block 'cvtt'; did you mean cvt\?"),
        ("stages[0].block: [{kind: cvt, kv_strid: 1}]", "16:33: .*'kv_strid'; did you mean kv_s"),
        ("stages[0].block: [{kind: cvt}]", "never legal: stages.0..block: neither num_heads nor"),
        ("stages[0].dim: [32]\n  stages[each].dim: [64]", "17:3: .*also set by .* in line 16"),
        ("stages[0].dim: [32]\n  stages[all].dim: [64]", "17:3: .*also set by stages.0..dim in"),
        (
            "stages[0].block.mlp_ratio: [1]\n  stages[0].layers[0].mlp_ratio: [2]",
            "17:3: .*is also set by stages.0..block.mlp_ratio in line 16",
        ),
        (
            "stages[0].block.head_dim: [8]\n  stages[0].block: [{kind: cvt, head_dim: 8}]",
            r"16:3: .*a choice of stages.0..block \(line 17\) sets head_dim already",
        ),
        (
            "stages[0].dim:\n    values: [32]\n    when: stages[1].dim > 3\n"
            "  stages[1].dim:\n    values: [64]\n    when: stages[0].dim > 3",
            r"go in a circle: stages\[0\].dim, stages\[1\].dim",
        ),
        (
            "stages[0].position:\n    values: [bias]\n    when: stages[0].position == none",
            "16:3: stages.0..position: when reads the axis itself",
        ),
        (
            "stages[0].position:\n    values: [bias]\n    when: stages[0].block.num_heads == 2",
            "stages.0..block.num_heads is derived, and when reads only what is written",
        ),
    ],
)
def test_an_axis_that_cannot_be_is_refused_with_its_place(make, axes, message):
    with pytest.raises(SpaceError, match=message):
        make(f"axes:\n  {axes}").size()


def test_a_space_of_illegal_networks_alone_says_why(make):
    text = NETWORK.replace("head_dim: 16", "head_dim: 24")
    with pytest.raises(SpaceError, match=r"small.yaml: no network of this space is legal: stages"):
        SearchSpace(text, source="small.yaml")
    with pytest.raises(SpaceError, match=r"no network of this space is legal: .*head_dim: 24 does"):
        SearchSpace(text + "axes:\n  stages[1].dim: [64, 96]", source="small.yaml")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("require: macs < 3", "15:10: expected a list of requirements, got text"),
        ("require: [3]", "15:11: 3 is not text"),
        (
            "require:\n  - mac < 3",
            "16:5: 'mac < 3', column 1: mac is not a number; did you mean macs",
        ),
        ("require:\n  - stages[7].dim < 3", "16:5: .*the network has 2 stages"),
        ("require:\n  - stages[0].dim", "16:5: stages.0..dim is 32, not true or false"),
        ("require:\n  - stages[0].position < 3", "16:5: 'none' is not a number, as < needs"),
        ("target: {threads: true}", "15:19: True is not a whole number"),
        ("target: {precision: fp8}", "15:21: 'fp8' is not one of fp32, bf16, fp16"),
        ("target: {batch: [1, 8, 1]}", "a list of batches has each once; write it like"),
        ("target: {backend: ../x}", "'../x' is not a name"),
        ("objectives: {accuracy: min, macs: min}", "15:24: accuracy can only be max, got 'min'"),
        ("objectives: {accuracy: max}", "15:13: a front needs accuracy and at least one cost"),
        ("search: {sampler: [tpe]}", "15:19: a list is not a name"),
        ("search: 3", "15:9: expected a mapping"),
        ("overrides: {proxy.rungs: []}", "15:26: rungs are epochs"),
        ("overrides: {proxy.stem: keep}", "15:25: 'keep' is not one of keep_grid, as_is"),
        ("overrides: {proxy.data: ''}", "15:25: '' is not text"),
    ],
)
def test_a_section_that_cannot_be_is_refused_with_its_place(make, rest, message):
    with pytest.raises(SpaceError, match=message):
        make(rest)


def test_sections_have_defaults_and_take_what_is_written(make):
    space = make(
        "target: {device: 'cuda:1', batch: 16, precision: bf16}\n"
        "objectives: {accuracy: max, params: min}\nlimits: {macs: 400e6}\n"
        "search: {sampler: nsga2, trials: 1e2, time: 1h30m, seed: 7, timeout: 90, confirm: false}"
    )
    assert (space.target.device, space.target.threads, space.target.batch) == ("cuda:1", 1, 16)
    assert space.objectives == {"proxy_accuracy": "max", "params": "min"}
    assert space.limits == {"macs": 400e6}
    assert (space.search.sampler, space.search.trials, space.search.seed) == ("nsga2", 100, 7)
    assert (space.search.time_limit_s, space.search.timeout_s) == (5400.0, 90)
    assert space.search.confirm is False
    assert space.target.precisions == ("bf16",)
    assert (space.proxy.data, space.proxy.rungs, space.proxy.seeds) == (
        "cluttered_digits",
        (3, 4, 8),
        1,
    )
    assert SearchSpace("base: cvt_13", source="s").objectives == {
        "proxy_accuracy": "max",
        "latency_ms": "min",
    }


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"trials": 0}, "--trials: 0 is not a whole number from 1 to 1,000,000"),
        ({"time_limit_s": -1.0}, "--time: -1.0 is not a number above 0"),
        ({"sampler": "../x"}, r"--sampler: '\.\./x' is not a name; use up to 64 letters"),
        ({"certify": "maybe"}, "--certify: 'maybe' is not one of auto, always, never"),
    ],
)
def test_what_a_command_says_is_held_to_what_a_file_may_say(said, message):
    with pytest.raises(UsageError, match=message):
        override(SearchSection(), **said)


def test_what_a_command_says_stands_in_place_of_what_the_file_says():
    section = SearchSection(trials=9, seed=3)
    assert override(section, seed=None, workers=None) == section
    assert override(section, epochs=12) == SearchSection(trials=12, epochs=12, seed=3)
    assert override(section, epochs=12, trials=2).trials == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("0.5h", 1800), ("1H", 3600), ("0s", None)]
    + [(text, None) for text in ("", "90", "m", "20 m", "1m1h", "-3s", "1e3", "x")],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("written", ["90", "'90'", "90s", "1.5m"])
def test_a_space_takes_a_time_limit_without_a_unit_in_seconds(written):
    space = SearchSpace(f"base: cvt_13\nsearch: {{time: {written}}}", source="s")
    assert space.search.time_limit_s == 90


AXES = "axes:\n  stages[each].dim: [32, 64]\n  stages[each].depth: [1, 2]\n"


@pytest.mark.parametrize(
    ("override", "size"),
    [
        ("stages[0].dim=48", 2 * 4),
        ("stages[each].dim=48", 4),
        ("stages[all].dim=48", 4),
        ("stages[each].dim=[32, 64, 96]", 9 * 4),
        ("stages[each].dim={from: 16, to: 64, step: 16}", 16 * 4),
        ("stages[1].depth=3", 4 * 2),
        ("stages[1].block={kind: cvt, head_dim: 16}", 16),
        ("head.norm=layer", 16),
    ],
)
def test_a_setting_fixes_a_place_or_replaces_an_axis(make, override, size):
    space = make(AXES, overrides=[override])
    assert space.size() == size
    again = SearchSpace(space.text, source="small.yaml")
    assert again.size() == size
    draw = random.Random(0)
    choices = again.sample(draw)
    assert again.decode(choices) == space.decode(choices)


def test_a_fixed_place_has_its_value_in_every_candidate(make):
    space = make(AXES, overrides=["stages[1].dim=48", "stages[0].block.mlp_ratio=3"])
    spec = space.decode(space.sample(random.Random(0)))
    assert (spec.stages[1].dim, spec.stages[0].block.mlp_ratio) == (48, 3)


def test_a_field_of_a_chosen_part_can_be_fixed_where_the_part_has_it(make):
    axes = "axes:\n  stages[1].block: [{kind: levit}, {kind: cvt, head_dim: 16}]"
    space = make(axes, overrides=["stages[1].block.kv_stride=1"])
    assert space.size() == 2
    specs = [space.decode(choices) for choices in space.enumerate()]
    assert specs[1].stages[1].block.kv_stride == 1


def test_settings_of_sections_win_over_the_file(make):
    space = make(
        AXES + "search: {trials: 9, seed: 3}",
        overrides=["search.trials=10", "limits.latency_ms=5", "proxy.rungs=[2, 4]"],
    )
    assert (space.search.trials, space.search.seed) == (10, 3)
    assert space.limits == {"latency_ms": 5}
    assert (space.proxy.rungs, space.proxy.resolution) == ((2, 4), 32)


def test_what_was_set_stands_in_the_text(make):
    space = make(AXES, overrides=["proxy.rungs=[2,4]", "stages[0].dim=48"])
    assert space.text.startswith(NETWORK)
    assert space.text.endswith(
        "# Set from outside the file:\noverrides:\n  proxy.rungs: [2, 4]\n  stages[0].dim: 48\n"
    )
    again = SearchSpace(space.text, source="x.yaml", overrides=["search.trials=3"])
    assert again.text.endswith("stages[0].dim: 48\n  search.trials: 3\n")
    assert (again.search.trials, again.proxy.rungs) == (3, (2, 4))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.trials=", "is not a setting"),
        ("=3", "is not a setting"),
        ("search.trials=*a", "aliases are not allowed"),
        ("stages[0].dimm=3", "--set stages.0..dimm:1:1: stages.0..dimm: unknown field"),
        ("stages[0].depth=2000", "--set stages.0..depth:1:1: stages.0..depth: 2000 is not"),
        ("stages[0].position=[bias]", "position: .*is not one of"),
        ("stages[0].block={kind: levit, x: 1}", "--set stages.0..block:1:1: .*unknown key 'x'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(make, override, message):
    with pytest.raises(ArchbenchError, match=message):
        make(AXES, overrides=[override])


def test_a_block_is_not_fixed_where_its_layers_choose(make):
    axes = "axes:\n  stages[1].layers[each].mlp_ratio: [1, 2]"
    with pytest.raises(SpaceError, match=r"layers\[0\].mlp_ratio chooses it .* set stages\[1\].la"):
        make(axes, overrides=["stages[1].block.mlp_ratio=2"])
    space = make(axes, overrides=["stages[1].layers[all].mlp_ratio=1"])
    assert [block.mlp_ratio for block in space.decode({}).resolved().stages[1].blocks] == [1, 1]


def test_settings_need_a_file_that_can_be_continued():
    text = "{base: cvt_13}"
    with pytest.raises(SpaceError, match="cannot be written at the end of this file"):
        SearchSpace(text, source="s.yaml", overrides=["search.trials=3"])


@pytest.mark.parametrize("name", shipped())
def test_mutated_spaces_are_read_or_refused_fast(name):
    draw = random.Random(name)
    text = Path(find(name)).read_text()
    words = [*text.split(), "-1", "1e9", "null", "[]", "{}", "[each]", "*x", "99999", "''", "true"]
    words += ["&a ", "!!int ", "<<: ", "\t", "{", "]", ": ", "- ", "\n", "'", "|", ">", "%", "?"]
    words += [".inf", "\x00", "\ud800", "\u2028", "---\n", "é", "\\"]
    for _ in range(40):
        changed = text
        for _ in range(draw.randint(1, 3)):
            word = draw.choice(words)
            start = draw.randrange(len(changed))
            changed = changed[:start] + word + changed[start + draw.choice([0, 1, len(word)]) :]
        start_s = time.process_time()
        place = "m.yaml"
        try:
            SearchSpace(changed, source="m.yaml").size()
        except SpaceError as error:
            place = str(error.place)
        assert place.startswith("m.yaml")
        assert time.process_time() - start_s < 3  # what takes longest takes a tenth of that


@pytest.mark.parametrize(
    ("written", "precisions"),
    [
        ("int8", ("int8",)),
        ("[int8]", ("int8",)),
        ("[fp32, int8]", ("fp32", "int8")),
        ("[int8, bf16]", ("bf16", "int8")),
    ],
)
def test_int8_is_a_precision_or_a_second_one(make, written, precisions):
    assert make(f"target: {{backend: openvino, precision: {written}}}").target.precisions == (
        precisions
    )


@pytest.mark.parametrize("written", ["[fp32, bf16]", "[int8, int8]", "[]", "[fp32, bf16, int8]"])
def test_other_lists_of_precisions_are_refused(make, written):
    with pytest.raises(SpaceError, match=r"one of floats and int8"):
        make(f"target: {{precision: {written}}}")


@pytest.mark.parametrize(
    ("text", "comment"),
    [
        ("# Which one is best?\nbase: levit_128s\n", "Which one is best?"),
        ("\n# One\n# sentence.\n#\n# More.\na: 1", "One sentence."),
        ("#\n# Late.\na: 1", "Late."),
        ("a: 1 # not this", ""),
    ],
)
def test_the_first_comment_is_the_question(text, comment):
    assert first_comment(text) == comment
