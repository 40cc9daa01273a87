"""BiTAT (Park et al., arXiv 2207.01394), first form: one layer at a time.

Only the paper's abstract and method figure were at hand. Docstrings tag what they state:
[P] the paper says or draws it; [D] follows from that by algebra; [R] our reconstruction.
"""

from bitat_deploy.training.bitat.commit import Commit, commit_signs
from bitat_deploy.training.bitat.importance import (
    SecondMoment,
    layer_second_moment,
    output_error,
    relative_output_error,
)

__all__ = [
    "Commit",
    "SecondMoment",
    "commit_signs",
    "layer_second_moment",
    "output_error",
    "relative_output_error",
]
