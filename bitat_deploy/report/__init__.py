"""The report stage: a bench result as a document, shown in every format; comparisons; tables."""

from bitat_deploy.report.comparison import Verdict, compare_reports
from bitat_deploy.report.comparison_table import comparison_table, format_change
from bitat_deploy.report.document import (
    bench_document,
    check_writable,
    json_report,
    write_file,
)
from bitat_deploy.report.formatting import byte_size, duration
from bitat_deploy.report.html import html_page, html_report, points_svg
from bitat_deploy.report.markdown import markdown_page, markdown_report
from bitat_deploy.report.noise import accuracy_interval, median_interval, proportions_differ
from bitat_deploy.report.pictures import mistake_pictures
from bitat_deploy.report.reading import read_report, report_schema
from bitat_deploy.report.sections import (
    Axis,
    Banner,
    Bars,
    Cell,
    Column,
    Fact,
    Facts,
    Gallery,
    Histogram,
    Matrix,
    Point,
    Points,
    Report,
    Section,
    Series,
    Table,
    Tone,
    banner_of_times,
)
from bitat_deploy.report.tables import board_table, layer_table, top_classes_table, tuning_table
from bitat_deploy.report.terminal import terminal_page, terminal_report, terminal_table

__all__ = [
    "Axis",
    "Banner",
    "Bars",
    "Cell",
    "Column",
    "Fact",
    "Facts",
    "Gallery",
    "Histogram",
    "Matrix",
    "Point",
    "Points",
    "Report",
    "Section",
    "Series",
    "Table",
    "Tone",
    "Verdict",
    "accuracy_interval",
    "banner_of_times",
    "bench_document",
    "board_table",
    "byte_size",
    "check_writable",
    "compare_reports",
    "comparison_table",
    "duration",
    "format_change",
    "html_page",
    "html_report",
    "json_report",
    "layer_table",
    "markdown_page",
    "markdown_report",
    "median_interval",
    "mistake_pictures",
    "points_svg",
    "proportions_differ",
    "read_report",
    "report_schema",
    "terminal_page",
    "terminal_report",
    "terminal_table",
    "top_classes_table",
    "tuning_table",
    "write_file",
]
