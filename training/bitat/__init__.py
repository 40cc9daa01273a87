"""BiTAT (Park et al., arXiv 2207.01394).

Only the paper's abstract and method figure were at hand. Docstrings tag what they state:
[P] the paper says or draws it; [D] follows from that by algebra; [R] our reconstruction.

It works on the convolutions of any network, see ``matrices``, block by block, with trained V and
s. ``bitat_deploy.training.binarize`` puts it together for a user's network,
``bitat_deploy.training.methods`` for ours.
"""

from bitat_deploy.training.bitat.commit import Commit, commit_signs
from bitat_deploy.training.bitat.options import BitatOptions

__all__ = ["BitatOptions", "Commit", "commit_signs"]
