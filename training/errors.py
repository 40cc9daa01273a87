"""What can go wrong in training besides bad input."""

from bitat_deploy.errors import BitatDeployError


class TrainingDivergedError(BitatDeployError):
    """The loss became infinite or not a number."""
