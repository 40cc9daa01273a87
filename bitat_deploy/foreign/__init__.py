"""Any ONNX file as a network: ours as it is, others as our layers and float32 for the rest."""

from bitat_deploy.foreign.check import ImportMismatchError
from bitat_deploy.foreign.importing import import_foreign, load_network
from bitat_deploy.foreign.mixed_network import MixedNetwork
from bitat_deploy.foreign.preprocessing import Preprocessing

__all__ = [
    "ImportMismatchError",
    "MixedNetwork",
    "Preprocessing",
    "import_foreign",
    "load_network",
]
