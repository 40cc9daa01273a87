"""A report as one HTML page that opens offline: style and charts are in it, no scripts."""

from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from bitat_deploy.report import charts
from bitat_deploy.report.bench_sections import Document, bench_report


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
    kinds = groupby(report.sections, lambda section: type(section).__name__)
    groups = [(kind, list(sections)) for kind, sections in kinds]
    template = environment.get_template("page.html.jinja")
    return template.render(report=report, groups=groups, charts=charts)
