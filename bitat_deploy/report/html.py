"""A report as one HTML page that opens offline: style and charts are in it, no scripts."""

import base64
import functools
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bitat_deploy.report import charts
from bitat_deploy.report.bench_sections import Document, Pictures, bench_report
from bitat_deploy.report.sections import Bars, Histogram, Matrix, Points, Report, Section


def html_page(report: Report) -> str:
    """The report as a page, in the light or dark theme that the reader's system asks for."""
    kinds = groupby(report.sections, lambda section: type(section).__name__)
    groups = [(kind, list(sections)) for kind, sections in kinds]
    template = _environment().get_template("page.html.jinja")
    return template.render(
        report=report, groups=groups, charts=charts, draw=_draw, data_url=_data_url
    )


def html_report(document: Document, pictures: Pictures | None = None) -> str:
    """The report on a bench as a page, with ``pictures`` of wrong answers."""
    return html_page(bench_report(document, pictures))


def points_svg(points: Points) -> str:
    """The picture as the content of an SVG file, such as one in a document."""
    return charts.stand_alone(charts.points_chart(points))


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("bitat_deploy.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _draw(section: Section) -> Markup:
    def at(width: int) -> Markup:
        if isinstance(section, Histogram):
            return charts.histogram(section.samples, section.marks, width, section.quiet)
        if isinstance(section, Matrix):
            return charts.confusion_matrix(section.names, section.counts, width)
        if isinstance(section, Bars):
            return charts.bars(section.rows, width, section.quiet)
        assert isinstance(section, Points)
        return charts.points_chart(section, width)

    return charts.for_both_widths(at)


def _data_url(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
