"""The steps from a network to a report, as functions: what the command line does, without printing.

``import bitat_deploy`` gives their names and those of the records that they take and return. Names
are imported at first use: training needs torch, which may not be installed, and TVM takes seconds.
"""

from typing import TYPE_CHECKING

from bitat_deploy.host_system import check_host_system
from bitat_deploy.lazy_face import lazy_face

if TYPE_CHECKING:
    from bitat_deploy.api.benches import bench, bench_boards
    from bitat_deploy.api.bundles import build, sdk
    from bitat_deploy.api.class_names import read_class_names
    from bitat_deploy.api.devices import clean, doctor, run
    from bitat_deploy.api.explorations import Explored, explore
    from bitat_deploy.api.networks import export, onnx_file
    from bitat_deploy.api.schedules import tune
    from bitat_deploy.api.training_runs import (
        TrainedNetwork,
        plan_training,
        prepare_torch,
        quantize,
        train,
    )
    from bitat_deploy.api.zoo_benches import bench_zoo
else:
    check_host_system()  # before modules are imported that other systems lack
    __getattr__ = lazy_face(__name__)

__all__ = [
    "Explored",
    "TrainedNetwork",
    "bench",
    "bench_boards",
    "bench_zoo",
    "build",
    "clean",
    "doctor",
    "explore",
    "export",
    "onnx_file",
    "plan_training",
    "prepare_torch",
    "quantize",
    "read_class_names",
    "run",
    "sdk",
    "train",
    "tune",
]
