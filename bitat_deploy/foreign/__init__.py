"""Networks that we did not train: any ONNX file to our layers and, for the rest, float32."""

from bitat_deploy.foreign.check import ImportMismatchError
from bitat_deploy.foreign.importing import import_foreign, is_foreign
from bitat_deploy.foreign.mixed_network import MixedNetwork, QuantizeFloat
from bitat_deploy.foreign.preprocessing import Preprocessing

__all__ = [
    "ImportMismatchError",
    "MixedNetwork",
    "Preprocessing",
    "QuantizeFloat",
    "import_foreign",
    "is_foreign",
]
