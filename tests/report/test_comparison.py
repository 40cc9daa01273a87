from typing import Any

import numpy as np
import pytest

from bitat_deploy.report import Verdict, compare_reports
from bitat_deploy.report.noise import median_change_interval
from tests.report.factory import report


def _verdicts(before: dict[str, Any], after: dict[str, Any], minimum: float = 0.02) -> dict:
    comparison = compare_reports(before, after, minimum)
    return {change.what: change.verdict for change in comparison.changes}


def _without_samples(document: dict[str, Any]) -> dict[str, Any]:
    del document["latency_ms"]["samples"]
    return document


def test_a_report_equals_itself() -> None:
    comparison = compare_reports(report(), report())
    assert not comparison.regressions
    assert not comparison.warnings
    judged = {change.verdict for change in comparison.changes}
    assert judged == {Verdict.SAME, Verdict.NOT_JUDGED}


@pytest.mark.parametrize(
    ("latency", "spread", "verdict"),
    [
        (1.10, 0.01, Verdict.WORSE),
        (0.90, 0.01, Verdict.BETTER),
        (1.01, 0.001, Verdict.SAME),  # beyond noise, but under the minimum
        (1.03, 0.5, Verdict.SAME),  # over the minimum, but within noise
    ],
)
def test_latency_needs_both_size_and_certainty(
    latency: float, spread: float, verdict: Verdict
) -> None:
    before, after = report(1.0, spread), report(latency, spread, seed=1)
    assert _verdicts(before, after)["latency, median"] is verdict
    _without_samples(before)
    assert _verdicts(before, after)["latency, mean"] is verdict


def test_few_runs_are_not_judged() -> None:
    assert _verdicts(report(runs=9), report(2.0))["latency, median"] is Verdict.NOT_JUDGED


@pytest.mark.parametrize("change", [{"device__emulated": True}, {"not_trustworthy": ["load"]}])
def test_untrusted_latency_is_judged_on_request_only(change: dict[str, Any]) -> None:
    for before, after in ((report(), report(2.0, **change)), (report(**change), report(2.0))):
        assert not compare_reports(before, after).regressions
        assert compare_reports(before, after, judge_untrusted=True).regressions


def test_runs_that_hang_together_widen_the_interval() -> None:
    """A neighbour's load over many runs in a row is less evidence than as many single runs."""
    generator = np.random.default_rng(0)
    independent = generator.normal(1, 0.1, 2000)
    together = np.repeat(generator.normal(1, 0.1, 40), 50)
    width = np.ptp(median_change_interval(independent, independent))
    assert np.ptp(median_change_interval(together, together)) > 2 * width


def test_interval_holds_its_confidence() -> None:
    """Two draws of the same distribution: the 99 % interval misses no change once in 100."""
    generator = np.random.default_rng(1)
    missed = 0
    for _ in range(40):
        low, high = median_change_interval(*generator.gamma(5, 1, (2, 200)))
        missed += not low <= 0 <= high
    assert missed <= 3


def test_accuracy_is_exact_for_the_same_network_and_images() -> None:
    worse = report(accuracy__top1=0.859)
    assert _verdicts(report(), worse)["accuracy, top-1"] is Verdict.WORSE
    assert _verdicts(worse, report())["accuracy, top-1"] is Verdict.BETTER


@pytest.mark.parametrize(
    ("top1", "verdict"), [(0.85, Verdict.SAME), (0.80, Verdict.WORSE), (0.92, Verdict.BETTER)]
)
def test_accuracy_of_another_network_allows_for_the_choice_of_images(
    top1: float, verdict: Verdict
) -> None:
    after = report(accuracy__top1=top1, model__sha256="6b" * 32)
    assert _verdicts(report(), after)["accuracy, top-1"] is verdict


def test_leaving_the_reference_is_a_regression() -> None:
    what = "unlike reference"
    assert _verdicts(report(), report(accuracy__logits_equal=False))[what] is Verdict.WORSE
    differing = report(accuracy__differing_from_reference=1)
    assert _verdicts(report(), differing)[what] is Verdict.WORSE
    assert _verdicts(differing, report())[what] is Verdict.BETTER


@pytest.mark.parametrize(
    ("size", "limit", "verdict"),
    [
        (410_000, None, Verdict.NOT_JUDGED),
        (390_000, None, Verdict.BETTER),
        (400_000, None, Verdict.SAME),
        (410_000, 0.03, Verdict.SAME),
        (412_001, 0.03, Verdict.WORSE),
        (400_001, 0.0, Verdict.WORSE),
        (390_000, 0.03, Verdict.BETTER),
    ],
)
def test_sizes_may_grow_unless_limited(size: int, limit: float | None, verdict: Verdict) -> None:
    changes = compare_reports(
        report(), report(size__model_bytes=size), max_size_increase=limit
    ).changes
    assert {change.what: change.verdict for change in changes}["model size"] is verdict


def test_from_nothing_to_something() -> None:
    after = report()
    before = report(size__bundle_bytes=0, latency_ms__p50=0)
    verdicts = _verdicts(before, after)
    assert verdicts["bundle size"] is Verdict.NOT_JUDGED
    assert verdicts["latency, median"] is Verdict.NOT_JUDGED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device__cpu": "Cortex-A53"}, "Cortex-A72 and Cortex-A53"),
        ({"device__governor": ""}, "ondemand and unknown"),
        ({"target": "rpi5"}, "rpi4 and rpi5"),
        ({"threads": 4}, "1 and 4"),
        ({"device__emulated": True}, "B is EMULATED"),
        ({"device__emulated": True, "not_trustworthy": ["the clock fell"]}, "B is EMULATED"),
        ({"not_trustworthy": ["the clock fell"]}, "B is NOT TRUSTWORTHY: the clock fell"),
    ],
)
def test_warns_of_what_cannot_be_compared(change: dict[str, Any], said: str) -> None:
    warnings = compare_reports(report(), report(**change)).warnings
    assert len(warnings) == 1
    assert said in warnings[0]
