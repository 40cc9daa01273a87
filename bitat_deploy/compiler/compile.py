"""The compiler stage: an ONNX file to a shared library or an object file for one target."""

from pathlib import Path

from bitat_deploy.compiler.description import device_description
from bitat_deploy.compiler.layer_report import FLOAT_TOLERANCE, LOGITS_TOLERANCE, CompiledModel
from bitat_deploy.compiler.lowering import lower_layers
from bitat_deploy.compiler.relax_module import build_shared_library, relax_module
from bitat_deploy.compiler.static_module import build_object
from bitat_deploy.errors import BitatDeployError, InputError
from bitat_deploy.foreign import MixedNetwork, load_network
from bitat_deploy.network import NOTHING, Supplement
from bitat_deploy.records import load_records
from bitat_deploy.target import Target


def compile_model(
    path: Path,
    target: Target,
    output: Path,
    supplement: Supplement = NOTHING,
    batch: int = 1,
) -> CompiledModel:
    """Compile the ONNX file ``path`` to the shared library ``output``, for ``batch`` images a call.

    For a static target it is an object file, which the runner is linked with.
    Schedules are those of the tuning records for the target, where there are some.
    ``supplement`` is what the user says of the network. Raises InputError for a bad file,
    UnsupportedOperatorError for an operator that we do not have, BuildError where linking fails.
    """
    if batch > 1 and target.is_static:
        raise InputError(f"the target '{target.name}' takes one image at a time; leave out --batch")
    network = load_network(path, supplement, target, batch)
    if isinstance(network, MixedNetwork):
        return _compile_mixed(network, target, output)
    layers = lower_layers(network, target, load_records(target))
    classes = layers[-1].report.output_shape[-1]
    description = device_description(network, batch, classes)
    if target.is_static:
        build_object(layers, target, output, description)
    else:
        build_shared_library(relax_module(network.input_shape, layers, batch), target, output)
    return CompiledModel(
        name=network.name,
        input_shape=network.input_shape,
        description=description,
        class_names=network.class_names,
        preprocessing=network.preprocessing,
        metadata={k: v for k, v in network.metadata.items() if k != LOGITS_TOLERANCE},
        layers=tuple(layer.report for layer in layers),
        onnx=path,
    )


def _compile_mixed(network: MixedNetwork, target: Target, output: Path) -> CompiledModel:
    """Compile a network of which only some layers are ours."""
    # Not above: TVM's importer of ONNX takes a second to load, and our own files do not need it.
    from bitat_deploy.compiler.float_region import unsupported_layer
    from bitat_deploy.compiler.mixed_module import mixed_module

    module, reports = mixed_module(network, target, load_records(target))
    try:
        build_shared_library(module, target, output)
    except BitatDeployError:
        raise
    except Exception as error:  # whatever TVM meets in a layer that it compiles
        raise unsupported_layer(network.graph, target, error) or error from error
    reference = output.with_name("reference.onnx")
    reference.write_bytes(network.to_onnx().SerializeToString())
    source = output.with_name("source.onnx")
    source.write_bytes(network.source.to_model().SerializeToString())
    return CompiledModel(
        name=network.name,
        input_shape=network.input_shape,
        description=device_description(network, 1, len(network.class_names)),
        class_names=network.class_names,
        preprocessing=network.preprocessing,
        metadata=network.metadata | {LOGITS_TOLERANCE: f"{FLOAT_TOLERANCE:g}"},
        layers=reports,
        onnx=reference,
        source=source,
    )
