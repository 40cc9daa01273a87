"""bitat-deploy: from a low-bit MobileNet in PyTorch to a number measured on a Raspberry Pi.

The same steps as on the command line, as functions, which print nothing:

    import bitat_deploy as bd

    bundle = bd.build("model.onnx", target="rpi4")
    result = bd.bench(bundle, host="pi@device")

Names are imported at first use: this module needs neither TVM nor torch nor numpy.
"""

from typing import TYPE_CHECKING

from bitat_deploy.lazy_face import lazy_face
from bitat_deploy.version import __version__

if TYPE_CHECKING:
    from bitat_deploy.api import (
        Explored,
        TrainedNetwork,
        bench,
        bench_boards,
        bench_zoo,
        build,
        clean,
        doctor,
        explore,
        export,
        plan_training,
        quantize,
        read_class_names,
        run,
        sdk,
        train,
        tune,
    )
    from bitat_deploy.bounded_process import Limits
    from bitat_deploy.bundle import Bundle, read_bundle
    from bitat_deploy.device import BenchOptions, BenchResult, Board, Connection, Outcome, connect
    from bitat_deploy.errors import BitatDeployError
    from bitat_deploy.exploration import Budget, ExploreOptions
    from bitat_deploy.network import Preprocessing
    from bitat_deploy.progress import Progress
    from bitat_deploy.report import bench_document, html_report, json_report, markdown_report
    from bitat_deploy.target import Target, load_target, target_names
    from bitat_deploy.tuning import TuneOptions
    from bitat_deploy.zoo import zoo_names
else:
    __getattr__ = lazy_face(__name__)

__all__ = [
    "BenchOptions",
    "BenchResult",
    "BitatDeployError",
    "Board",
    "Budget",
    "Bundle",
    "Connection",
    "ExploreOptions",
    "Explored",
    "Limits",
    "Outcome",
    "Preprocessing",
    "Progress",
    "Target",
    "TrainedNetwork",
    "TuneOptions",
    "__version__",
    "bench",
    "bench_boards",
    "bench_document",
    "bench_zoo",
    "build",
    "clean",
    "connect",
    "doctor",
    "explore",
    "export",
    "html_report",
    "json_report",
    "load_target",
    "markdown_report",
    "plan_training",
    "quantize",
    "read_bundle",
    "read_class_names",
    "run",
    "sdk",
    "target_names",
    "train",
    "tune",
    "zoo_names",
]
