"""The baseline in every format."""

from dataclasses import replace

import pytest

from bitat_deploy.device.bench_options import MLPERF_SINGLE_STREAM
from bitat_deploy.report import bench_document, html_report, markdown_report
from bitat_deploy.report.bench_sections import bench_report
from bitat_deploy.report.sections import Table
from tests.report.factory import FAILURE, PI, report, result, twins


def baseline(**changes: object) -> Table:
    sections = bench_report(bench_document(result(baselines=twins(), **changes))).sections
    return next(section for section in sections if section.title.startswith("Baseline"))


def test_rows() -> None:
    own, float32, int8 = baseline().rows
    assert own == ("this network", "0.999 ms", "1", "400.00 kB", "9.00 MB")
    assert float32 == ("float32 twin", "4.997 ms", "5.00 (4.99 to 5.01)", "750.00 kB", "31.00 MB")
    assert int8 == ("int8 twin", "failed", "", "750.00 kB", "")


def test_headline_by_the_rule() -> None:
    drawn = result(baselines=twins())
    latency = replace(drawn.latency, rule=MLPERF_SINGLE_STREAM)
    run = drawn.baselines[0].run
    assert run is not None
    twin = replace(run, latency=replace(run.latency, rule=MLPERF_SINGLE_STREAM))
    baselines = (replace(drawn.baselines[0], run=twin), drawn.baselines[1])
    document = bench_document(replace(drawn, latency=latency, baselines=baselines))
    made = bench_report(document)
    assert made.figures[0] == (f"{latency.p90:.3f} ms", "latency, MLPerf single-stream p90")
    table = next(section for section in made.sections if section.title == "Baseline")
    shown = [row[1] for row in table.rows]
    assert shown == [f"{latency.p90:.3f} ms", f"{twin.latency.p90:.3f} ms", "failed"]
    assert table.rows[1][2] == f"{twin.latency.p90 / latency.p90:.2f}"


def test_notes_tell_what_the_twins_are_for() -> None:
    notes = " ".join(map(str, baseline().notes))
    assert "not accuracy" in notes
    assert f"int8 twin was not measured: {FAILURE}." in notes
    assert "not trustworthy: the clock changed" in notes
    assert "emulated" not in notes
    known = " ".join(map(str, baseline(not_trustworthy=("the clock changed",)).notes))
    assert "the clock changed" not in known
    emulated = " ".join(map(str, baseline(device=replace(PI, emulated=True)).notes))
    assert "on hardware the ratios are different" in emulated
    assert "the clock changed" not in emulated


@pytest.mark.parametrize("write", [html_report, markdown_report])
def test_pages(write) -> None:
    page = write(bench_document(result(baselines=twins())))
    assert "5.00 (4.99 to 5.01)" in page and "not accuracy" in page
    assert "Baseline" not in write(report())
