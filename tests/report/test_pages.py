"""The formats of a report: what is in them, and that nothing breaks them."""

from html.parser import HTMLParser
from io import StringIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bitat_deploy.report import html_report, markdown_report, mistake_pictures, terminal_report
from bitat_deploy.report.charts import histogram
from tests.report.factory import report, result

HOSTILE = '<script>alert("x")</script> | `a` \n* b'


class _Page(HTMLParser):
    """Collects tags, attributes and text, and refuses tags that are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _bare() -> dict[str, Any]:
    """Without all that is optional."""
    document = report()
    del document["layers"], document["latency_ms"]["samples"]
    del document["accuracy"]["confusion"], document["accuracy"]["class_names"]
    return document


def test_page_is_self_contained() -> None:
    page = _Page(html_report(report(), mistake_pictures(result())))
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not {"href", "onload"} & {name for name, _ in page.attributes}
    sources = [value for name, value in page.attributes if name == "src"]
    assert len(sources) == 2
    assert all(value and value.startswith("data:image/jpeg;base64,") for value in sources)
    assert "url(" not in html_report(report())
    assert "@import" not in html_report(report())


def test_page_shows_everything() -> None:
    page = _Page(html_report(report()))
    for words in (
        "86.00%",
        "9.00 MB",
        "block0.depthwise",
        "Pullover (25)",
        "p99",
        "Confusion",
        "1500 MHz",
    ):
        assert words in page.text


def _terminal(document: dict[str, Any]) -> str:
    with StringIO() as file:
        Console(file=file, width=200, _environ={}).print(terminal_report(document, verbose=True))
        return file.getvalue()


@pytest.mark.parametrize("write", [html_report, markdown_report, _terminal])
def test_banner(write: Any) -> None:
    reasons = ["the clock fell", "others were busy"]
    assert "EMULATED" not in write(report())
    assert "NOT TRUSTWORTHY" not in write(report(not_trustworthy=[]))
    assert "EMULATED" in write(report(device__emulated=True))
    warned = write(report(not_trustworthy=reasons))
    assert all(words in warned for words in ("NOT TRUSTWORTHY", *reasons))


@pytest.mark.parametrize("write", [html_report, markdown_report])
def test_time_of_layers_where_it_was_measured(write: Any) -> None:
    document = report()
    document["layers"][1]["ms"] = 0.1234
    assert "0.123" in write(document)


def test_bare_report() -> None:
    assert "Layers" not in markdown_report(_bare())
    page = _Page(html_report(_bare()))
    assert "Confusion" not in page.text
    assert "Distribution" not in page.text


def test_hostile_names_stay_text() -> None:
    document = report(
        model__name=HOSTILE,
        device__board=HOSTILE,
        target=HOSTILE,
        not_trustworthy=[HOSTILE],
        accuracy__class_names=[HOSTILE, *report()["accuracy"]["class_names"][1:]],
    )
    document["layers"][0]["name"] = HOSTILE
    assert "script" not in _Page(html_report(document)).tags
    text = markdown_report(document)
    assert "<script>" not in text.replace("\\<", "")
    rows = [line for line in text.splitlines() if line.startswith("| conv") or "alert" in line]
    assert all(line.startswith(("|", ">", "#", "Built for")) for line in rows)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0, 0, "none since boot"),
        (0, 0x5, "now: under-voltage, throttled"),
        (0x2, 0x20000, "now: clock capped"),
        (0x50000, 0x50000, "earlier since boot: under-voltage, throttled"),
        (0, 0x50001, "now: under-voltage; earlier since boot: throttled"),
        (None, 0x40000, "earlier since boot: throttled"),
    ],
)
@pytest.mark.parametrize("write", [html_report, markdown_report, _terminal])
def test_throttling_is_told_alike(write: Any, before: int | None, after: int, said: str) -> None:
    document = report(health_before__throttled=before, health_after__throttled=after)
    assert said in write(document)
    assert "throttling" not in write(report(health_after__throttled=None))


def test_matrix_of_many_classes_becomes_a_list_of_the_worst() -> None:
    names = [f"class {index}" for index in range(200)]
    matrix = np.diag(np.arange(200) + 1)
    matrix[7] = np.roll(matrix[7], 1)
    document = report(accuracy__class_names=names, accuracy__confusion=matrix.tolist())
    page = _Page(html_report(document))
    assert "Confusion" not in page.text
    assert "the 30 worst of 200" in page.text
    assert "class 8 (8)" in page.text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=50))
def test_any_samples_make_a_histogram(samples: list[float]) -> None:
    picture = histogram(samples, [("p50", float(np.median(samples)))])
    assert "nan" not in picture
    assert "inf" not in picture
    _Page(str(picture))


def test_histogram_tells_what_lies_beyond_its_end() -> None:
    samples = [1 + index / 1000 for index in range(999)] + [50.0]
    picture = histogram(samples, [])
    assert "10 of 1,000 runs shown took longer, up to 50 ms" in picture
