"""The report stage: results as tables, Markdown and HTML for people, as JSON for programs."""

from bitat_deploy.report.document import (
    bench_document,
    check_writable,
    json_report,
    write_file,
)
from bitat_deploy.report.html import html_report
from bitat_deploy.report.markdown import markdown_report
from bitat_deploy.report.tables import bench_report, layer_table

__all__ = [
    "bench_document",
    "bench_report",
    "check_writable",
    "html_report",
    "json_report",
    "layer_table",
    "markdown_report",
    "write_file",
]
