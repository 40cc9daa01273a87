"""BiTAT (Park et al., arXiv 2207.01394).

Only the paper's abstract and method figure were at hand. Docstrings tag what they state:
[P] the paper says or draws it; [D] follows from that by algebra; [R] our reconstruction.

``stage`` and ``importance`` are the recipes' first form, one layer of our networks at a time. The
rest works on any network's convolutions, block by block, with trained V and s; ``binarize`` in
``bitat_deploy.training.binarize`` puts it together.
"""

from bitat_deploy.training.bitat.commit import Commit, commit_signs
from bitat_deploy.training.bitat.importance import (
    SecondMoment,
    layer_second_moment,
    output_error,
    relative_output_error,
)
from bitat_deploy.training.bitat.options import BitatOptions

__all__ = [
    "BitatOptions",
    "Commit",
    "SecondMoment",
    "commit_signs",
    "layer_second_moment",
    "output_error",
    "relative_output_error",
]
