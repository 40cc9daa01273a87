"""From an ONNX file to a network: ours is read, another is rewritten and checked against it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bitat_deploy.bounded_process import is_out_of_memory
from bitat_deploy.datasets import drawn_pictures
from bitat_deploy.errors import BitatDeployError, InputError, UnsupportedOperatorError
from bitat_deploy.foreign.check import (
    compare,
    logits_of,
    tensors_with_zeros,
)
from bitat_deploy.foreign.eight_bit_rewrite import with_eight_bit_layers
from bitat_deploy.foreign.graph import Graph
from bitat_deploy.foreign.load import load_graph
from bitat_deploy.foreign.mixed_network import MixedNetwork
from bitat_deploy.foreign.not_finite import refuse_not_finite
from bitat_deploy.foreign.preprocessing import USUAL, with_picture_input
from bitat_deploy.foreign.recognised import describe_float_speed, describe_recognised
from bitat_deploy.foreign.rewrite import rewrite
from bitat_deploy.network import (
    IntegerNetwork,
    Preprocessing,
    Supplement,
    class_names_of,
    preprocessing_of,
    shape_text,
    tensor_formats,
)
from bitat_deploy.onnx_format import OPTIMIZATIONS, is_ours, read_network
from bitat_deploy.plain_text import LONGEST_NAME, as_file_name, foreign_text
from bitat_deploy.target import Target

_LONGEST_KEY = 100


def load_network(
    path: Path, supplement: Supplement, target: Target, batch: int = 1
) -> IntegerNetwork | MixedNetwork:
    """Read the network of any ONNX file, to be run on ``target`` with ``batch`` images at once.

    ``supplement`` is what the user says of it. Raises InputError for a bad file, where that is for
    files that are not ours or does not fit, and where the target or the batch is for files of ours
    alone; otherwise as :func:`import_foreign`.
    """
    if not is_ours(path):
        if target.is_static:
            raise InputError(
                f"'{path}' was not exported by bitat-deploy, and the target '{target.name}' has no "
                "runtime for such networks; choose another target"
            )
        if batch > 1:
            raise InputError(f"'{path}' takes one image at a time; leave out --batch")
        try:
            preprocessing = supplement.preprocessing or USUAL
            network = import_foreign(path, preprocessing, supplement.input_shape)
        except (BitatDeployError, MemoryError):
            raise
        except Exception as error:  # of ONNX or ONNX Runtime, which have no common base
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise UnsupportedOperatorError(
                f"'{path}' cannot be taken: {foreign_text(str(error)) or type(error).__name__}; "
                "export it again, or report this as a bug in bitat-deploy"
            ) from error
        return _named(network, supplement.class_names, len(network.class_names))
    ours = read_network(path)
    if supplement.preprocessing is not None:
        raise InputError(
            f"the network '{ours.name}' was exported by bitat-deploy and reads the picture's "
            "bytes as they are; leave out --mean, --std and --input-scale"
        )
    if supplement.input_shape is not None:
        raise InputError(
            f"the network '{ours.name}' was exported by bitat-deploy and has a fixed size, "
            f"{shape_text(ours.input_shape)}; leave out --input-shape"
        )
    logits = tensor_formats(ours.input_shape, ours.layers)[ours.layers[-1].name]
    return _named(ours, supplement.class_names, logits.shape[-1])


_Network = TypeVar("_Network", IntegerNetwork, MixedNetwork)


def _named(network: _Network, names: tuple[str, ...], classes: int) -> _Network:
    """The network with the user's names of its classes, if there are any."""
    if not names:
        return network
    if len(names) != classes:
        raise InputError(
            f"{len(names)} names of classes are given, and the network '{network.name}' has "
            f"{classes} classes; give a name for each"
        )
    return replace(network, class_names=names)


def import_foreign(
    path: Path, preprocessing: Preprocessing, input_shape: tuple[int, ...] | None = None
) -> MixedNetwork:
    """Read an ONNX file and replace what is binarized in it by our layers.

    ``input_shape`` is as for :func:`load_graph`. The result has been compared with the file in ONNX
    Runtime. Raises InputError, UnsupportedOperatorError naming a node, and ImportMismatchError.
    """
    graph = load_graph(path, input_shape)
    original, shape, preprocessing = with_picture_input(graph, preprocessing)
    pictures = drawn_pictures(shape)
    wanted = logits_of(original, pictures)
    refuse_not_finite(path, original, pictures, wanted)
    zeros = tensors_with_zeros(original, pictures)
    rewritten = with_eight_bit_layers(rewrite(original, _spread(original, zeros)))
    # Rounding may hide zeros that exact sums have.
    hidden = tensors_with_zeros(rewritten.exact, pictures, optimize=False) - zeros
    if hidden:
        rewritten = with_eight_bit_layers(rewrite(original, _spread(original, zeros | hidden)))
    comparison = compare(original, rewritten.exact, rewritten.graph, pictures, wanted)
    _, metadata = preprocessing_of(_printable(original.metadata))
    names = class_names_of(metadata.pop("class_names", ""))
    classes = original.types[original.output].shape[1]
    class_names = names or tuple(f"class {i}" for i in range(classes))
    if len(class_names) != classes:
        raise InputError(f"'{path}' names {len(class_names)} classes and has {classes} logits")
    metadata["import"] = comparison.describe()
    metadata["recognised"] = describe_recognised(original, rewritten)
    graph = rewritten.graph
    if slow := describe_float_speed(original, graph):
        metadata["float"] = slow
    if comparison.as_written:
        graph = replace(graph, metadata=graph.metadata | {OPTIMIZATIONS: "off"})
    return MixedNetwork(
        name=_name(original.name, path),
        input_shape=shape,
        class_names=class_names,
        metadata=metadata,
        graph=graph,
        layers=rewritten.layers,
        formats=rewritten.formats,
        reasons=rewritten.reasons,
        in_file=rewritten.in_file,
        source=original,
        preprocessing=preprocessing,
    )


def _printable(metadata: Mapping[str, str]) -> dict[str, str]:
    """What can be shown: short, and without control characters."""
    return {
        key: value
        for key, value in metadata.items()
        if key.isprintable() and len(key) < _LONGEST_KEY and value.isprintable()
    }


def _name(name: str, path: Path) -> str:
    """The graph's name, or the file's where an exporter gave one that all graphs have."""
    common = ("main_graph", "torch_jit", "torch-jit-export", "main", "graph", "")
    return as_file_name(path.stem if name in common else name, LONGEST_NAME)


def _spread(graph: Graph, tensors: set[str]) -> set[str]:
    """These tensors and all that are computed from them, which may contain the 0 too."""
    found = set(tensors)
    for node in graph.nodes:
        if found & set(node.input):
            found.update(node.output)
    return found
