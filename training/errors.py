"""What can go wrong in training besides bad input."""

from bitat_deploy.errors import BitatDeployError


class TrainingDivergedError(BitatDeployError):
    """The loss became infinite or not a number."""


class CheckpointNotSavedError(BitatDeployError):
    """A checkpoint could not be written; the one before it is still there."""
