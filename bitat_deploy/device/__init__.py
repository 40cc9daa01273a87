"""The device stage: reach a device, see what it is, push a bundle, measure."""

from bitat_deploy.device.bench import bench
from bitat_deploy.device.bench_options import BenchOptions, Progress
from bitat_deploy.device.bench_result import BenchResult
from bitat_deploy.device.boards import (
    Board,
    CheckRunning,
    Outcome,
    bench_boards,
    on_boards,
)
from bitat_deploy.device.condition import Finding, Severity, examine
from bitat_deploy.device.connect import LOCAL, connect
from bitat_deploy.device.connection import Connection, Limit, Result
from bitat_deploy.device.execution import classify
from bitat_deploy.device.health import Health, read_health
from bitat_deploy.device.inspect import Device, inspect_device
from bitat_deploy.device.push import RunFolder, push_file, pushed
from bitat_deploy.device.suitability import check_suitable, diagnose

__all__ = [
    "LOCAL",
    "BenchOptions",
    "BenchResult",
    "Board",
    "CheckRunning",
    "Connection",
    "Device",
    "Finding",
    "Health",
    "Limit",
    "Outcome",
    "Progress",
    "Result",
    "RunFolder",
    "Severity",
    "bench",
    "bench_boards",
    "check_suitable",
    "classify",
    "connect",
    "diagnose",
    "examine",
    "inspect_device",
    "on_boards",
    "push_file",
    "pushed",
    "read_health",
]
