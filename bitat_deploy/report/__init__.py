"""The report stage: a bench result as a document, shown in every format; comparisons; tables."""

from bitat_deploy.report.comparison import Verdict, compare_reports
from bitat_deploy.report.comparison_table import comparison_table, format_change
from bitat_deploy.report.document import (
    bench_document,
    check_writable,
    json_report,
    write_file,
)
from bitat_deploy.report.html import html_report
from bitat_deploy.report.markdown import markdown_report
from bitat_deploy.report.reading import read_report, report_schema
from bitat_deploy.report.tables import board_table, layer_table, top_classes_table, tuning_table
from bitat_deploy.report.terminal import terminal_report

__all__ = [
    "Verdict",
    "bench_document",
    "board_table",
    "check_writable",
    "compare_reports",
    "comparison_table",
    "format_change",
    "html_report",
    "json_report",
    "layer_table",
    "markdown_report",
    "read_report",
    "report_schema",
    "terminal_report",
    "top_classes_table",
    "tuning_table",
    "write_file",
]
