"""The compiler stage: an ONNX file to a shared library or an object file for one target."""

from dataclasses import dataclass
from pathlib import Path

from bitat_deploy.compiler.importer import import_layers
from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.compiler.records import load_records
from bitat_deploy.compiler.relax_module import build_shared_library, relax_module
from bitat_deploy.compiler.static_module import build_object
from bitat_deploy.onnx_format import read_network
from bitat_deploy.target import Target


@dataclass(frozen=True)
class CompiledModel:
    """What a bundle has to know of the network it carries.

    ``input_shape`` is (height, width, channels) of the uint8 image.
    """

    name: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    metadata: dict[str, str]
    layers: tuple[LayerReport, ...]


def compile_model(path: Path, target: Target, output: Path) -> CompiledModel:
    """Compile the ONNX file ``path`` to the shared library ``output``.

    For a static target it is an object file, which the runner is linked with.
    Schedules are those of the tuning records for the target, where there are some.
    Raises InputError for a bad file, UnsupportedOperatorError for an operator that we do not
    have, BuildError where linking fails.
    """
    network = read_network(path)
    layers = import_layers(network, target, load_records(target))
    if target.is_static:
        build_object(layers, target, output)
    else:
        build_shared_library(relax_module(network.input_shape, layers), target, output)
    return CompiledModel(
        name=network.name,
        input_shape=network.input_shape,
        class_names=network.class_names,
        metadata=network.metadata,
        layers=tuple(layer.report for layer in layers),
    )
