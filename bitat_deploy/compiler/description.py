"""What the device library reads of a network, besides the network itself."""

from bitat_deploy.foreign import MixedNetwork
from bitat_deploy.network import IntegerNetwork, Preprocessing
from bitat_deploy.version import __version__


def device_description(network: IntegerNetwork | MixedNetwork, batch: int, classes: int) -> str:
    """The text that ``runner/library/description.cc`` reads: a key and its values on each line.

    ``classes`` counts the logits. The library ignores unknown keys, so that more can be added.
    """
    preprocessing: Preprocessing = network.preprocessing
    lines = [
        "bitat-deploy network 1",
        f"shape {' '.join(map(str, network.input_shape))}",
        f"batch {batch}",
        f"classes {classes}",
        f"name {network.name}",
        f"version {__version__}",
        f"fit {preprocessing.fit}",
        f"resize {preprocessing.resize}",
        f"order {preprocessing.order}",
        f"input {preprocessing.describe(network.input_shape)}",
    ]
    if preprocessing.resized_to is not None:
        lines.append(f"resized {' '.join(map(str, preprocessing.resized_to))}")
    return "\n".join([*lines, *(f"class {name}" for name in network.class_names)]) + "\n"
