"""Does the order of a study's best designs hold when they are trained in full?

Legend: N validation images, S seeds.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from archbench.analysis.front_probability import FrontProbabilities
from archbench.analysis.judgement import FEWEST
from archbench.analysis.statistics import (
    Estimate,
    Floats,
    agreement,
    estimate_text,
    kendall_tau_of,
    wilson,
)
from archbench.study.runs import NORMAL_95, student
from archbench.study.study_folder import retrained_path
from archbench.study.trial import TrialRecord

SCHEMA = "archbench.retraining/1"
KEY = "retrained"
"""Key of a study's header: its retrainings, each with the trainings planned and what they reached.

Of a training it keeps which validation images the best weights told rightly, a bit each.
"""

_SHORT = 3  # degrees of freedom of what is known of the noise of short trainings beforehand

State = Literal["held", "tie", "overtaken", "unfinished"]
"""Of the first by the short trainings: still first, below another by a tie, or by more than that;
where fewer than two designs are trained there is no order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FullResult:
    """What one design reached in full training, with the best weights of each seed."""

    record: TrialRecord
    likely: Estimate  # its accuracy by the study's short trainings, without the noise of seeds
    right: Floats  # whether each validation image was told rightly, 0 or 1, (S, N)
    trainings: Sequence[Mapping[str, Any]]  # as the header keeps them, by seed
    files: Sequence[Path]  # the best weights of each

    @property
    def number(self) -> int:
        """Of the trial."""
        return self.record.number

    @property
    def accuracy(self) -> Estimate:
        """The mean over seeds on the validation images, with Wilson's interval."""
        return wilson(round(float(self.right.mean(0).sum())), self.right.shape[1])

    @property
    def test(self) -> Estimate | None:
        """The mean over seeds on the held-out images, likewise; None where there are none."""
        found = [one["ended"]["test"] for one in self.trainings if one["ended"]["test"]]
        if not found:
            return None
        return wilson(round(statistics.fmean(one["right"] for one in found)), found[0]["images"])

    @property
    def best_file(self) -> Path:
        """The weights of the highest validation accuracy."""
        return self.files[int(self.right.mean(1).argmax())]

    @property
    def seconds(self) -> float:
        """What its trainings took."""
        return sum(float(one["ended"]["seconds"]) for one in self.trainings)

    @property
    def wavering(self) -> float:
        """The variance of its mean accuracy by single images on which its seeds differ."""
        num_seeds, num_images = self.right.shape
        return float(self.right.var(0, ddof=1).mean()) / num_seeds / num_images


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """Some designs of a study that were trained in full, as far as their trainings have ended."""

    study: str
    entry: Mapping[str, Any]  # as the header keeps it
    results: tuple[FullResult, ...]  # the highest accuracy first, of equals as by the short ones
    seed_sd: float  # standard deviation between seeds of one design
    seed_degrees: int  # trainings beyond the first of their design; with 0 it is the short ones'
    seed_factor: float  # by which that is multiplied for half of an interval

    @property
    def left(self) -> int:
        """Trainings that were planned and have not ended."""
        return sum(not is_over(one) for one in self.entry["trainings"])

    @property
    def failures(self) -> list[str]:
        """What failed, in words."""
        return [
            f"trial {one['trial']}, seed {one['seed']} failed: {one['failure']}"
            for one in self.entry["trainings"]
            if "failure" in one
        ]

    @property
    def how(self) -> str:
        """For example ``finetune, 30 epochs, folder:photos``."""
        how = self.entry["how"]
        side = f" at {how['resolution']} px" if how["resolution"] else ""
        epochs = f"{how['epochs']} epoch{'s' if how['epochs'] > 1 else ''}"
        return f"{how['recipe']}, {epochs}, {how['data']}{side}"

    def result_of(self, number: int) -> FullResult | None:
        """That of a trial; None where it was not trained in full."""
        return next((one for one in self.results if one.number == number), None)

    def difference(self, one: FullResult, other: FullResult) -> Estimate:
        """The accuracy of the other less that of the one, over new images and new seeds.

        Both saw the same images, so these count by pair; that seeds differ on single images is in
        it then, and what they differ by beyond is added. Of a design with one seed nothing tells
        the two apart, and the larger of both counts.
        """
        apart = other.right.mean(0) - one.right.mean(0)
        images = float(apart.var(ddof=1)) / len(apart) if len(apart) > 1 else 0.0
        several = min(len(one.right), len(other.right)) > 1
        counted = one.wavering + other.wavering if several else images
        seeds = self.seed_sd**2 * (1 / len(one.right) + 1 / len(other.right))
        beyond = math.sqrt(max(0.0, seeds - counted))
        half = math.hypot(NORMAL_95 * math.sqrt(images), self.seed_factor * beyond)
        value = float(apart.mean())
        return Estimate(value=value, low=value - half, high=value + half)

    def chance(self, other: FullResult, *, over: FullResult) -> float:
        """How probable it is that the other is as good."""
        found = self.difference(over, other)
        return 0.5 * math.erfc(-found.value / max(found.standard_error, 1e-9) / math.sqrt(2))

    @cached_property
    def by_proxy(self) -> tuple[FullResult, ...]:
        """The results in the order of the short trainings, the best first."""
        return tuple(sorted(self.results, key=lambda one: (-one.likely.value, one.number)))

    @property
    def state(self) -> State:
        """Whether the order held."""
        if len(self.results) < 2:
            return "unfinished"
        first, best = self.by_proxy[0], self.results[0]
        if best is first:
            return "held"
        return "overtaken" if self.difference(first, best).is_resolved else "tie"

    @cached_property
    def tau(self) -> float | None:
        """Kendall's tau of the short and the full trainings; None where one never differs."""
        return kendall_tau_of([(one.likely.value, one.accuracy.value) for one in self.results])

    @cached_property
    def tau_interval(self) -> Estimate | None:
        """Tau with its interval, a bootstrap over designs; None of fewer than 8."""
        if len(self.results) < FEWEST:
            return None
        score, truth, macs = np.array(
            [(r.likely.value, r.accuracy.value, r.record.macs) for r in self.results]
        ).T
        return agreement(score[None], truth[None], log_cost=np.log(macs)).overall

    @property
    def tau_text(self) -> str:
        """The line that stands with a certificate; empty where there is no tau."""
        if self.tau is None:
            return ""
        number, known = len(self.results), self.tau_interval
        told = estimate_text(known) if known else f"{self.tau:.2f}"
        few = "" if known else f", too few for an interval ({FEWEST} are the least)"
        return f"proxy tau near the front in full training: {told} of {number} designs{few}"

    @property
    def sentence(self) -> str:
        """Whether the order held, in words."""
        if not self.results:
            return "No full training has ended yet."
        best, first = self.results[0], self.by_proxy[0]
        if len(self.results) < 2:
            return f"Only trial {best.number} was trained in full, so there is no order to judge."
        names = f"trial {best.number}", f"trial {first.number}"
        apart = self.difference(first, best)
        match self.state:
            case "overtaken":
                return (
                    f"The order did not hold: {names[0]} overtook {names[1]} by {_points(apart)}."
                )
            case "tie":
                return (
                    f"Whether the order held is not known: {names[0]} came out above {names[1]} by "
                    f"{_points(apart)}, which is a tie."
                )
        second = self.results[1]
        lead = self.difference(second, best)
        is_whole = self.by_proxy == self.results and lead.is_resolved
        told = f"{'the order held: ' if is_whole else ''}{names[0]} is still first of "
        told += f"{len(self.results)} designs, above trial {second.number} by {_points(lead)}"
        told += "" if lead.is_resolved else ", which is a tie"
        return f"{told[:1].upper()}{told[1:]}."

    @property
    def noise(self) -> str:
        """From what is known how much another seed would change."""
        sd = f"{100 * self.seed_sd:.1f} points"
        if not self.seed_degrees:
            return (
                f"each design was trained once, so the noise between seeds is that of the short "
                f"trainings, {sd} (standard deviation); --seeds 2 would measure it"
            )
        plural = "s" if self.seed_degrees > 1 else ""
        return (
            f"two full trainings of one design differ by about {sd} (standard deviation, by "
            f"{self.seed_degrees} repeated training{plural})"
        )

    def document(self) -> dict[str, Any]:
        """The retraining as a JSON document of the schema ``archbench.retraining/1``."""
        first = self.by_proxy[0] if self.results else None
        document = {
            "schema": SCHEMA,
            "study": self.study,
            "how": self.entry["how"],
            "state": self.state,
            "sentence": self.sentence,
            "trainings_left": self.left,
            "failures": self.failures,
            "tau": self.tau,
            "tau_interval": asdict(self.tau_interval) if self.tau_interval else None,
            "seed_sd": self.seed_sd,
            "seed_sd_degrees": self.seed_degrees,
            "designs": [
                {
                    "trial": one.number,
                    "digest": one.record.digest,
                    "proxy_rank": self.by_proxy.index(one) + 1,
                    "full_rank": rank,
                    "likely_accuracy": asdict(one.likely),
                    "full_accuracy": asdict(one.accuracy),
                    "full_test_accuracy": asdict(one.test) if one.test else None,
                    "above_first": asdict(self.difference(first, one)) if one != first else None,
                    "seeds": len(one.right),
                    "seconds": one.seconds,
                    "weights": str(one.best_file),
                }
                for rank, one in enumerate(self.results, start=1)
                if first is not None
            ],
        }
        plain: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
        return plain


def retraining_of(
    header: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    *,
    path: Path,
    sure: FrontProbabilities,
) -> Retraining | None:
    """The last retraining of a study that is whole, else the last; None where there is none.

    What is sure of its candidates gives what the short trainings say of them.
    """
    kept: Sequence[Mapping[str, Any]] = header.get(KEY, ())
    whole = [one for one in kept if all(map(is_over, one["trainings"]))]
    if not kept:
        return None
    entry = (whole or kept)[-1]
    results = []
    for record in trials:
        ended = [t for t in entry["trainings"] if t["trial"] == record.number and t["ended"]]
        if not ended or record.number not in sure.accuracy:
            continue
        seeds = [one["seed"] for one in ended]
        place = (path, entry["name"], record.number)
        results.append(
            FullResult(
                record=record,
                likely=sure.accuracy[record.number],
                right=np.stack([_bits(one["ended"], entry["num_validation"]) for one in ended]),
                trainings=ended,
                files=[retrained_path(*place, seed=s) / "best.safetensors" for s in seeds],
            )
        )
    sd, degrees, factor = _noise([one.right.mean(1) for one in results], sure=sure)
    results.sort(key=lambda one: (-float(one.right.mean()), -one.likely.value, one.number))
    return Retraining(
        study=str(header.get("name") or path.resolve().name),
        entry=entry,
        results=tuple(results),
        seed_sd=sd,
        seed_degrees=degrees,
        seed_factor=factor,
    )


def _noise(own: Sequence[Floats], *, sure: FrontProbabilities) -> tuple[float, int, float]:
    """The deviation between seeds, from how many repeated trainings, and its factor (Student's).

    One repeated training is too few alone; the noise of the short trainings counts as another
    then. Where there is none it counts alone; if that is a guess, it is taken as it is.
    """
    degrees = sum(len(means) - 1 for means in own)
    squares = sum(float(((means - means.mean()) ** 2).sum()) for means in own)
    short, repeated = sure.noise_sd or 0.0, sure.noise_degrees
    if degrees > 1:
        return math.sqrt(squares / degrees), degrees, student(0.975, freedom=degrees)
    if degrees:
        return math.sqrt((squares + short**2) / 2), degrees, student(0.975, freedom=2)
    return short, 0, student(0.975, freedom=_SHORT + repeated) if repeated else NORMAL_95


def is_over(training: Mapping[str, Any]) -> bool:
    """Whether a planned training has ended, or failed in a way that would repeat itself."""
    return training["ended"] is not None or "failure" in training


def packed(right: Sequence[bool]) -> str:
    """Which images were told rightly, as hexadecimal digits, from which ``FullResult`` has them."""
    return np.packbits(np.array(right, dtype=np.bool_)).tobytes().hex()


def _bits(ended: Mapping[str, Any], num_images: int) -> Floats:
    digits = np.frombuffer(bytes.fromhex(ended["right"]), dtype=np.uint8)
    return np.unpackbits(digits, count=num_images).astype(np.float64)


def _points(apart: Estimate) -> str:
    value, low, high = (100 * end for end in (apart.value, apart.low, apart.high))
    return f"{value:.1f} points (95 %: {low:.1f} to {high:.1f})"
