"""The exploration stage: which network for a board, pictures and a budget.

It costs many candidates before any training, by the cycle model or on boards, trains those that the
budget allows by successive halving, and chooses by validation images. Names are imported at first
use: Optuna takes long.
"""

from typing import TYPE_CHECKING

from bitat_deploy.lazy_face import lazy_face

if TYPE_CHECKING:
    from bitat_deploy.exploration.costs import Budget
    from bitat_deploy.exploration.document import exploration_document
    from bitat_deploy.exploration.drawing import picture
    from bitat_deploy.exploration.pages import exploration_report, recommendation
    from bitat_deploy.exploration.reading import read_exploration
    from bitat_deploy.exploration.run import Exploration, explore
    from bitat_deploy.exploration.setting import ExploreOptions
else:
    __getattr__ = lazy_face(__name__)

__all__ = [
    "Budget",
    "Exploration",
    "ExploreOptions",
    "exploration_document",
    "exploration_report",
    "explore",
    "picture",
    "read_exploration",
    "recommendation",
]
