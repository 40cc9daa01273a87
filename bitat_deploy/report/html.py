"""A report as one HTML page that opens offline: style and charts are in it, no scripts."""

from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from bitat_deploy.report import charts
from bitat_deploy.report.bench_sections import Document, bench_report
from bitat_deploy.report.sections import Section


def html_report(document: Document) -> str:
    """The report as a page."""
    environment = Environment(
        loader=PackageLoader("bitat_deploy.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    report = bench_report(document)
    groups = [(kind, list(group)) for kind, group in groupby(report.sections, _kind)]
    template = environment.get_template("page.html.jinja")
    return template.render(report=report, groups=groups, charts=charts)


def _kind(section: Section) -> str:
    return type(section).__name__
