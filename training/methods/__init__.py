"""Methods of training: each a list of stages, registered by its name in recipes."""

from bitat_deploy.training.methods.method import BinarizeSchedule, Method, ModelMethod

__all__ = ["BinarizeSchedule", "Method", "ModelMethod"]
