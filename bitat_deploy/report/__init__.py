"""The report stage: results as tables for people and as JSON for programs."""

from bitat_deploy.report.document import bench_document, check_writable, write_document
from bitat_deploy.report.tables import bench_report, layer_table

__all__ = ["bench_document", "bench_report", "check_writable", "layer_table", "write_document"]
