"""``archbench doctor``: what a person reads, in 80 columns."""

from archbench.report.findings import doctor

DOCUMENT = {
    "environment": {"cores": 2},
    "test": {
        "network": "attention_small_1",
        "resolution": {
            "rounds": 233,
            "smallest": 0.0134,
            "comparisons": 90,
            "false_share": 0.0444,
            "spread": 0.0111,
        },
        "constants": {"a": {"deviation": -0.02}, "b": {"deviation": 0.01}},
        "state": 0.041,
        "off_cpu": 0.12,
        "drift": 0.012,
        "generation": 1,
        "seat": {"cores": [1], "note": ""},
    },
    "activity": {"steal_share": 0.0, "throttled": None, "busy": [["python", 0.2]]},
    "clocks": {"governor": None, "current_mhz": [2596.1, 2596.1], "most_mhz": None, "boost": None},
    "load": 2.31,
    "gpu": None,
    "board": None,
    "backends": [
        {"name": "eager", "device": "cpu", "precisions": ["fp32", "bf16"], "missing": ""},
        {
            "name": "openvino",
            "device": "cpu",
            "precisions": [],
            "missing": "openvino is not installed",
            "help": "pip install 'archbench[openvino]'",
        },
    ],
    "disks": {"/here": 60 * 2**30},
    "study": {
        "path": "results/edge",
        "trials": 60,
        "size_bytes": 3 * 2**20,
        "has_backup": True,
        "fault": "",
    },
    "advice": [{"what": "other processes work: python (0.2 cores)", "do": "end them"}],
}

TEXT = """\
Right now only latency differences above 1.3 % can be trusted.

what to do
- other processes work: python (0.2 cores): end them

A/A test        233 rounds with copies of attention_small_1
false "faster"  4.4% of 90 comparisons of copies of one network (5 % are by
                chance)
copies          differ by 1.1% over all rounds
disturbed by    other work on the measuring core 12% of the time; drift 1.2%;
                time given to other guests 0.0%; python 0.2 cores
cores           2 usable; measured on core 1; load average 2.3
clock           2596 MHz; governor not told by this system
GPU             none that torch can use
constants       2 kept; the machine takes +4.1% beside them, and they differ by
                at most 2.0% among themselves
disk            60.0 GiB free in /here
study           results/edge is whole: 60 trials, 3.0 MiB, a backup beside it

backend   on   precisions
--------  ---  ------------------------------------------------------------
eager     cpu  fp32, bf16
openvino  cpu  openvino is not installed: pip install 'archbench[openvino]'"""


def test_the_text_says_which_differences_can_be_trusted_and_what_to_do() -> None:
    text = doctor.finding(DOCUMENT).text()
    assert text == TEXT
    assert max(map(len, text.splitlines())) <= 80


def test_nothing_to_do_is_said() -> None:
    assert "Nothing disturbs a measurement." in doctor.finding({**DOCUMENT, "advice": []}).text()
