"""The integer network as a whole: layers in topological order, checked when it is made."""

from dataclasses import dataclass

from bitat_deploy.network.formats import Format, tensor_formats
from bitat_deploy.network.layers import Layer
from bitat_deploy.network.preprocessing import OWN, Preprocessing


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Layers from a uint8 image to float logits, each after those that it reads.

    ``input_shape`` is (height, width, channels). The last layer's output is the network's.
    ``class_names`` labels the logits; ``metadata`` (dataset, recipe, seed, accuracy ...) is
    copied into the ONNX file. ``preprocessing`` is what is done to a picture, of which our layers
    do nothing: they read the bytes as they are. Raises ValueError if a layer contradicts itself or
    what it reads.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    class_names: tuple[str, ...]
    metadata: dict[str, str]
    preprocessing: Preprocessing = OWN

    def __post_init__(self) -> None:
        self.formats()

    def formats(self) -> dict[str, Format]:
        """The formats of the input and of every layer's output, by name."""
        return tensor_formats(self.input_shape, self.layers)
