"""What changed between two bench reports, and whether it is more than noise."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bitat_deploy.report.bench_sections import Document, banner
from bitat_deploy.report.noise import (
    MINIMUM_RUNS,
    mean_change_interval,
    median_change_interval,
    proportions_differ,
)


class Verdict(enum.Enum):
    """Whether a change is for the better."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"
    NOT_JUDGED = "not judged"


class Unit(enum.Enum):
    """The unit of a compared value."""

    MILLISECONDS = "ms"
    BYTES = "bytes"
    FRACTION = "fraction of 1"
    IMAGES = "images"


@dataclass(frozen=True)
class Change:
    """One value before and after.

    ``interval`` is the 99 % interval of the relative change, None if the noise is unknown;
    ``basis`` names the test behind the verdict, or why there is no verdict.
    """

    what: str
    unit: Unit
    before: float
    after: float
    verdict: Verdict = Verdict.NOT_JUDGED
    basis: str = ""
    interval: tuple[float, float] | None = None

    @property
    def relative(self) -> float:
        """after / before - 1; infinite where something came from nothing."""
        if self.before == self.after:
            return 0.0
        return self.after / self.before - 1 if self.before else float("inf")


@dataclass(frozen=True)
class Comparison:
    """All changes, and warnings of what makes the two reports hard to compare."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes for the worse by more than noise."""
        return tuple(change for change in self.changes if change.verdict is Verdict.WORSE)


def compare_reports(
    before: Document,
    after: Document,
    minimum_change: float = 0.02,
    judge_untrusted: bool = False,
    max_size_increase: float | None = None,
) -> Comparison:
    """Compare two reports as :func:`read_report` gives them; each quantity is judged by itself.

    Latency counts as changed where the 99 % interval of the ratio of medians (of means, without
    samples) excludes 1 and the change is at least ``minimum_change``, a fraction: the interval
    covers the noise within a session, the minimum the noise between sessions. On a disturbed device
    sessions differ by far more, so latency is not judged if one report has a banner, unless
    ``judge_untrusted``. Memory and sizes may grow, unless ``max_size_increase``, a fraction, is
    given: they are worse if they grew by more. Accuracy is exact for the same network on the same
    images; otherwise it has to pass a two-proportion test at 99 %. More predictions that differ
    from the reference are always worse.
    """
    latency = _latency(before["latency_ms"], after["latency_ms"], minimum_change)
    if not judge_untrusted and (banner(before) or banner(after)):
        latency = replace(latency, verdict=Verdict.NOT_JUDGED, basis="untrusted")
    times = [
        Change(name, Unit.MILLISECONDS, value(before), value(after))
        for name, value in _OTHER_TIMES.items()
    ]
    sizes = [
        _bytes(name, value(before), value(after), max_size_increase)
        for name, value in _SIZES.items()
    ]
    answers = [_differing(before["accuracy"], after["accuracy"])]
    if all("top1" in report["accuracy"] for report in (before, after)):
        answers.insert(0, _accuracy(before, after))
    changes = (latency, *times, *answers, *sizes)
    return Comparison(changes, tuple(_warnings(before, after)))


def _latency(before: Document, after: Document, minimum: float) -> Change:
    sampled = "samples" in before and "samples" in after
    key, name = ("p50", "latency, median") if sampled else ("mean", "latency, mean")
    runs = min(len(side["samples"]) if sampled else side["runs"] for side in (before, after))
    if runs < MINIMUM_RUNS or min(before[key], after[key]) <= 0:
        basis = f"fewer than {MINIMUM_RUNS} runs" if runs < MINIMUM_RUNS else "shorter than a tick"
        return Change(name, Unit.MILLISECONDS, before[key], after[key], basis=basis)
    if sampled:
        interval = median_change_interval(before["samples"], after["samples"])
    else:
        interval = mean_change_interval(before, after)
    change = after[key] / before[key] - 1
    beyond = abs(change) >= minimum and not interval[0] <= 0 <= interval[1]
    verdict = _direction(change) if beyond else Verdict.SAME
    basis = "99 % interval" if sampled else "99 % interval, runs as if independent"
    return Change(name, Unit.MILLISECONDS, before[key], after[key], verdict, basis, interval)


def _accuracy(before: Document, after: Document) -> Change:
    first, second = before["accuracy"], after["accuracy"]
    gain = second["top1"] - first["top1"]
    if _same_question(before, after):
        changed, basis = gain != 0, "exact: same network, same images"
    else:
        changed = proportions_differ(
            first["top1"], second["top1"], (first["images"], second["images"])
        )
        basis = "two-proportion test"
    verdict = _direction(-gain) if changed else Verdict.SAME
    return Change("accuracy, top-1", Unit.FRACTION, first["top1"], second["top1"], verdict, basis)


def _same_question(before: Document, after: Document) -> bool:
    asked: Callable[[Document], tuple[Any, ...]] = lambda report: (  # noqa: E731
        report["model"]["sha256"],
        report["dataset"],
        report["accuracy"]["images"],
    )
    return asked(before) == asked(after)


def _differing(before: Document, after: Document) -> Change:
    first, second = (side["differing_from_reference"] for side in (before, after))
    lost = before["logits_equal"] and not after["logits_equal"]
    worse = second > first or lost
    verdict = Verdict.WORSE if worse else _direction(second - first)
    basis = "logits were equal, and are not any more" if lost else "exact"
    name = "unlike reference"
    return Change(name, Unit.IMAGES, first, second, verdict, basis)


def _bytes(what: str, before: int, after: int, maximum: float | None) -> Change:
    verdict, basis = _direction(after - before), "exact"
    if verdict is Verdict.WORSE and maximum is None:
        verdict, basis = Verdict.NOT_JUDGED, "larger"
    elif verdict is Verdict.WORSE and maximum is not None and after <= before * (1 + maximum):
        verdict, basis = Verdict.SAME, f"at most {maximum:.1%} larger"
    return Change(what, Unit.BYTES, before, after, verdict, basis)


def _direction(increase: float) -> Verdict:
    """The verdict for a quantity that should be small."""
    if increase == 0:
        return Verdict.SAME
    return Verdict.WORSE if increase > 0 else Verdict.BETTER


def _warnings(before: Document, after: Document) -> list[str]:
    found = []
    for name, value in _CIRCUMSTANCES.items():
        first, second = value(before), value(after)
        if first != second:
            found.append(f"{name} differs: {first or 'unknown'} and {second or 'unknown'}")
    for name, report in (("A", before), ("B", after)):
        if warning := banner(report):
            found += warning.about(name)
    return found


# Shown, but not judged: measured once or by the slowest runs.
_OTHER_TIMES: dict[str, Callable[[Document], float]] = {
    "latency, p90": lambda report: report["latency_ms"]["p90"],
    "load": lambda report: report["load_ms"],
    "first image": lambda report: report["first_inference_ms"],
}

_SIZES: dict[str, Callable[[Document], int]] = {
    "peak memory": lambda report: report["memory"]["peak_rss_bytes"],
    "model size": lambda report: report["size"]["model_bytes"],
    "bundle size": lambda report: report["size"]["bundle_bytes"],
}

_CIRCUMSTANCES: dict[str, Callable[[Document], Any]] = {
    "the processor": lambda report: report["device"]["cpu"],
    "the architecture": lambda report: report["device"]["arch"],
    "the board": lambda report: report["device"]["board"],
    "the number of cores": lambda report: report["device"]["cores"],
    "the clock governor": lambda report: report["device"]["governor"],
    "the kernel": lambda report: report["device"]["kernel"],
    "the target": lambda report: report["target"],
    "the number of threads": lambda report: report["threads"],
    "the number of images in a run": lambda report: report.get("batch", 1),
    "the network": lambda report: report["model"]["name"],
    "the data set": lambda report: report["dataset"],
    "the number of images": lambda report: report["accuracy"]["images"],
}
