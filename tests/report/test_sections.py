"""What the sections of a bench report hold, and the pictures that others use."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitat_deploy.report import (
    Axis,
    Bars,
    Facts,
    Gallery,
    Point,
    Points,
    Report,
    Series,
    Table,
    Tone,
    accuracy_interval,
    bench_document,
    html_page,
    median_interval,
    mistake_pictures,
    points_svg,
)
from bitat_deploy.report.bench_sections import bench_report
from bitat_deploy.report.layer_section import block_of
from tests.report.factory import PI, profile, result, twins


def test_a_batch_without_its_rate() -> None:
    document = bench_document(result(batch=4))
    del document["images_per_second"]  # which the schema allows
    latency = next(one for one in bench_report(document).sections if one.title == "Latency")
    assert isinstance(latency, Facts)
    assert next(row.value for row in latency.rows if row.what == "each run") == "4 images"


def test_times_of_an_emulated_device_are_grey_and_no_headline() -> None:
    changes = {"profile": profile(), "baselines": twins()}
    made = bench_report(bench_document(result(device=replace(PI, emulated=True), **changes)))
    assert [what for _, what in made.figures] == ["top-1 accuracy", "peak memory", "compiled model"]
    latency = next(one for one in made.sections if one.title == "Latency (EMULATED)")
    assert isinstance(latency, Facts) and {row.tone for row in latency.rows} == {Tone.QUIET}
    layers = next(one for one in made.sections if one.title == "Layers (EMULATED)")
    assert isinstance(layers, Table) and {row[0].tone for row in layers.rows} == {Tone.QUIET}
    assert all(one.quiet for one in made.sections if isinstance(one, Bars))
    sound = bench_report(bench_document(result(**changes)))
    assert "latency, median" in [what for _, what in sound.figures]
    assert not any(one.quiet for one in sound.sections if isinstance(one, Bars))


def test_a_block_has_the_sums_of_its_layers() -> None:
    made = bench_report(bench_document(result(profile=profile())))
    table = next(one for one in made.sections if one.title == "Layers")
    rows = {str(row[2]): [str(cell) for cell in row] for row in table.rows}
    assert list(rows) == [
        "stem",
        "block0",
        "block0.depthwise",
        "block0.pointwise",
        "pool",
        "classifier",
    ]
    microseconds, share, _, kind, *_ = rows["block0"]
    assert (microseconds, share, kind) == ("580", "58.0%", "2 layers")
    assert (rows["block0.depthwise"][0], rows["block0.pointwise"][0]) == ("80.0", "500")


@pytest.mark.parametrize(
    ("layer", "block"),
    [
        ("stem", ""),
        ("block0.depthwise", "block0"),
        ("block0.depthwise.codes", "block0"),
        ("/layer1/layer1.0/conv1/Conv", "/layer1/layer1.0"),
        ("/conv1/Conv", ""),
    ],
)
def test_block_of_a_layer(layer: str, block: str) -> None:
    assert block_of(layer) == block


def test_wrong_answers_are_shown_where_their_pictures_are_at_hand() -> None:
    document = bench_document(result())
    gallery = bench_report(document, mistake_pictures(result())).sections[-1]
    assert isinstance(gallery, Gallery)
    assert [caption for _, caption in gallery.pictures] == [
        "7.png: T-shirt/top, taken for Pullover",
        "image 3: Pullover, taken for T-shirt/top",
    ]
    assert not any(isinstance(one, Gallery) for one in bench_report(document).sections)


def test_intervals() -> None:
    low, high = accuracy_interval(0.9, 1000)
    assert (low, high) == (pytest.approx(0.8729, abs=1e-3), pytest.approx(0.9218, abs=1e-3))
    assert accuracy_interval(1.0, 10)[1] == 1.0 and accuracy_interval(0.0, 10)[0] == 0.0
    samples = result(runs=400).latency.samples
    low, high = median_interval(samples)
    assert low < result(runs=400).latency.p50 < high


finite = st.floats(1e-6, 1e6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(finite, st.floats(0, 1)), min_size=1, max_size=8), st.booleans())
def test_any_points_make_a_picture(places: list[tuple[float, float]], logarithmic: bool) -> None:
    drawn = [Point(x, y, (x / 2, 2 * x), (y, min(y + 0.1, 1)), "A", "<b>") for x, y in places]
    points = Points(
        "accuracy",
        Axis("latency, ms", logarithmic=logarithmic),
        Axis("top-1", percent=True),
        [Series(f"series {index}", [point]) for index, point in enumerate(drawn)],
        front=places,
        limits=[("budget", places[0][0])],
    )
    picture = points_svg(points)
    assert "nan" not in picture and "inf" not in picture
    root = ElementTree.fromstring(picture)
    groups = [one for one in root.iter() if one.tag.endswith("}g")]
    assert len(groups) == len(places)
    assert html_page(Report("t", "s", None, [], [points])).count("<svg") == 2
