"""The device stage: reach a device, see what it is, push a bundle, measure."""

from bitat_deploy.device.bench import bench
from bitat_deploy.device.bench_result import BenchResult
from bitat_deploy.device.connect import connect
from bitat_deploy.device.connection import Connection

__all__ = ["BenchResult", "Connection", "bench", "connect"]
