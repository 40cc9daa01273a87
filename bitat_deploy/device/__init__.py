"""The device stage: reach a device, see what it is, push a bundle, measure.

A device is this machine or one reached by SSH. ``bench`` measures one bundle on one device,
``bench_boards`` on several at once; ``diagnose`` and ``clean_device`` do what surrounds that.
"""

from bitat_deploy.device.bench import bench
from bitat_deploy.device.bench_options import HEADLINES, MEDIAN, BenchOptions
from bitat_deploy.device.bench_result import BaselineResult, BenchResult, Latency, Mistake
from bitat_deploy.device.boards import Board, CheckRunning, Outcome, bench_boards, on_boards
from bitat_deploy.device.clean import clean_device
from bitat_deploy.device.condition import Finding, Severity, examine
from bitat_deploy.device.connect import LOCAL, connect
from bitat_deploy.device.connection import Connection, Limit, Result
from bitat_deploy.device.execution import classify
from bitat_deploy.device.health import SINCE_BOOT, Health, read_health, throttle_names
from bitat_deploy.device.inspect import Device, inspect_device
from bitat_deploy.device.push import RunFolder, push_file, pushed
from bitat_deploy.device.suitability import (
    check_suitable,
    diagnose,
    fitting_target,
    fitting_targets,
)

__all__ = [
    "HEADLINES",
    "LOCAL",
    "MEDIAN",
    "SINCE_BOOT",
    "BaselineResult",
    "BenchOptions",
    "BenchResult",
    "Board",
    "CheckRunning",
    "Connection",
    "Device",
    "Finding",
    "Health",
    "Latency",
    "Limit",
    "Mistake",
    "Outcome",
    "Result",
    "RunFolder",
    "Severity",
    "bench",
    "bench_boards",
    "check_suitable",
    "classify",
    "clean_device",
    "connect",
    "diagnose",
    "examine",
    "fitting_target",
    "fitting_targets",
    "inspect_device",
    "on_boards",
    "push_file",
    "pushed",
    "read_health",
    "throttle_names",
]
