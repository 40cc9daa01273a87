"""The baseline in reports for people."""

from typing import Any

from bitat_deploy.report import html_report, markdown_report
from bitat_deploy.report.baselines import baseline_notes, baseline_rows
from tests.report.factory import report

FAILURE = "the runner on 'pi' was killed"


def with_baselines(**changes: Any) -> dict[str, Any]:
    twin = {"runtime": "ONNX Runtime 1.31.1", "model_bytes": 750_000, "runtime_bytes": 25_000_000}
    measured = {
        "latency_ms": report(latency=5.0)["latency_ms"],
        "latency_ratio": 5.0,
        "latency_ratio_interval": [4.9, 5.125],
        "peak_rss_bytes": 31_000_000,
        "not_trustworthy": ["the clock changed"],
    }
    failed = {"failure": FAILURE}
    twins = [{"name": "float32", **twin, **measured}, {"name": "int8", **twin, **failed}]
    return report(baselines=twins, **changes)


def test_rows() -> None:
    own, float32, int8 = baseline_rows(with_baselines(latency_ms__p50=1.25))
    assert own[:3] == ("binarized", "1.250 ms", "1")
    assert float32[2:] == ("5.00 (4.90 to 5.12)", "750.00 kB", "31.00 MB")
    assert int8 == ("int8 twin", "failed", "", "750.00 kB", "")
    assert baseline_rows(report()) == []


def test_headline_by_the_rule() -> None:
    document = with_baselines()
    for part in (document, document["baselines"][0]):
        part["latency_ms"] |= {"rule": "mlperf-single-stream", "p90": 7.0}
    assert [row[1] for row in baseline_rows(document)] == ["7.000 ms", "7.000 ms", "failed"]


def test_notes_say_what_the_twins_are_for() -> None:
    notes = " ".join(baseline_notes(with_baselines()))
    assert "not for accuracy" in notes
    assert f"int8 twin was not measured: {FAILURE}." in notes
    assert "doubtful: the clock changed" in notes
    assert "emulated" not in notes
    emulated = " ".join(baseline_notes(with_baselines(device__emulated=True)))
    assert "hardware has other ratios" in emulated


def test_pages() -> None:
    document = with_baselines()
    for page in (html_report(document), markdown_report(document)):
        assert "Baseline" in page
        assert "5.00 (4.90 to 5.12)" in page
        assert "not for accuracy" in page
    for page in (html_report(report()), markdown_report(report())):
        assert "Baseline" not in page
