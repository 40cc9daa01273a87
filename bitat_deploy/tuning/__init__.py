"""The tuning stage: which schedule of an operator is fastest on a board.

It measures candidates on devices, or asks the cycle model, and writes tuning records. Names are
imported at first use: TVM takes seconds, and ``--help`` needs only the options.
"""

from typing import TYPE_CHECKING

from bitat_deploy.lazy_face import lazy_face

if TYPE_CHECKING:
    from bitat_deploy.tuning.options import MOST_JOBS, Effort, TuneOptions, default_jobs
    from bitat_deploy.tuning.run import MODEL_HOST, Tuned, tune
    from bitat_deploy.tuning.workers import worker_processes
else:
    __getattr__ = lazy_face(__name__)

__all__ = [
    "MODEL_HOST",
    "MOST_JOBS",
    "Effort",
    "TuneOptions",
    "Tuned",
    "default_jobs",
    "tune",
    "worker_processes",
]
