"""An ONNX file as a graph, read and checked before its nodes are interpreted."""

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import external_data_helper, helper, numpy_helper

from bitat_deploy.errors import InputError
from bitat_deploy.network import Preprocessing, class_names_of, preprocessing_of
from bitat_deploy.onnx_format.functions import DOMAIN, VERSION, model_local_functions
from bitat_deploy.plain_text import NAME_RULE, is_name, message_lines

_MAXIMUM_BYTES = (1 << 31) - 1  # protobuf's own limit
_STANDARD = {"", "ai.onnx"}  # two names of one domain
_MAXIMUM_EXTENT = 1 << 14  # the runner's limit of an image's height, width and channels


@dataclass(frozen=True, eq=False)
class Model:
    """An ONNX graph with one image as input and one vector of logits as output.

    ``input_shape`` is (height, width, channels) of the uint8 image.
    """

    path: Path
    name: str
    input_name: str
    output_name: str
    input_shape: tuple[int, int, int]
    nodes: tuple[onnx.NodeProto, ...]
    initializers: dict[str, NDArray[Any]]
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    metadata: dict[str, str]


def read_model(path: Path) -> Model:
    """Read and check an ONNX file.

    Raises InputError if the file is missing, not ONNX, damaged, uses another version of our
    functions, or is not a network from one uint8 image to logits.
    """
    proto = load_onnx(path)
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    if versions.get(DOMAIN, VERSION) != VERSION:
        raise InputError(
            f"'{path}' uses version {versions[DOMAIN]} of our operators, this program supports "
            f"version {VERSION}; export the network again with this version of bitat-deploy"
        )
    _check_functions(path, proto)
    graph = proto.graph
    initializers = {tensor.name: _constant(path, tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initializers]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise InputError(
            f"'{path}' has {len(inputs)} inputs and {len(graph.output)} outputs; "
            "a network with one image input and one output is needed"
        )
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    texts = [graph.name, *metadata, *metadata.values(), *(node.name for node in graph.node)]
    if not all(_is_text(text) for text in texts):
        raise InputError(
            f"'{path}' has names or metadata with characters that cannot be printed; "
            "export the network again"
        )
    if not is_name(graph.name):
        raise InputError(
            f"the network in '{path}' is called {reprlib.repr(graph.name)}; a network's name must "
            f"be {NAME_RULE}: export it again by another name"
        )
    shape = _image_shape(path, inputs[0])
    try:
        class_names = class_names_of(metadata.pop("class_names", ""))
        preprocessing, metadata = preprocessing_of(metadata)
        preprocessing.check(shape)
    except InputError as error:
        raise InputError(f"'{path}' has damaged metadata: {error}; export it again") from error
    return Model(
        path=path,
        name=graph.name,
        input_name=inputs[0].name,
        output_name=graph.output[0].name,
        input_shape=shape,
        nodes=tuple(graph.node),
        initializers=initializers,
        class_names=class_names,
        preprocessing=preprocessing,
        metadata=metadata,
    )


def load_onnx(path: Path, from_elsewhere: bool = False) -> onnx.ModelProto:
    """Read an ONNX file that passes the checker; raises InputError where it does not.

    ``from_elsewhere`` takes weights from :func:`data_file` too, where PyTorch's exporter puts
    them, and adds imports of domains that nodes have and the file does not import, as in the
    files of QONNX's model zoo.
    """
    if not path.is_file():
        raise InputError(f"there is no ONNX file '{path}'; check the path")
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise InputError(f"'{path}' is larger than an ONNX file can be (2 GiB)")
        # Weights in other files are refused: a path in there could name any file of this machine.
        proto = onnx.load(path, load_external_data=False)
        if not _has_text(proto):
            raise InputError(f"'{path}' has names that are not UTF-8; export it again")
        if from_elsewhere:
            _load_data_beside(path, proto)
            _import_domains(proto)
        if any(map(_is_external, proto.graph.initializer)) or proto.graph.sparse_initializer:
            raise InputError(
                f"'{path}' has its weights in other files, or sparse; export the network again "
                "with all of them inside (in PyTorch with external_data=False)"
            )
        onnx.checker.check_model(proto)
    except DecodeError as error:
        raise InputError(f"'{path}' is not an ONNX file, or is damaged; export it again") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise InputError(f"'{path}' is not a valid ONNX file: {message_lines(error)[0]}") from error
    return proto


def is_ours(path: Path) -> bool:
    """Whether bitat-deploy exported the file: it has operators of ours. Raises as load_onnx."""
    model = load_onnx(path, from_elsewhere=True)
    return any(entry.domain == DOMAIN for entry in model.opset_import)


def data_file(path: Path) -> Path:
    """The one file besides ``path`` that weights may be in: that of its name with .data added."""
    return path.with_name(f"{path.name}.data")


def _load_data_beside(path: Path, proto: onnx.ModelProto) -> None:
    beside = data_file(path)
    for tensor in filter(_is_external, proto.graph.initializer):
        locations = {entry.value for entry in tensor.external_data if entry.key == "location"}
        if locations != {beside.name} or beside.is_symlink():
            return
        if not beside.is_file():
            raise InputError(
                f"the weights of '{path}' are in '{beside}', which is not there; put it there"
            )
        external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))


def _has_text(message: Any) -> bool:
    """Whether all strings of a protobuf message are: those that are not UTF-8 come as bytes."""
    for field, value in message.ListFields():
        values = [value] if isinstance(value, str | bytes | Message) else value
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            if not all(map(_has_text, values)):
                return False
        elif field.type == field.TYPE_STRING and not all(isinstance(v, str) for v in values):
            return False
    return True


def _import_domains(proto: onnx.ModelProto) -> None:
    imported = {entry.domain for entry in proto.opset_import}
    for domain in sorted({node.domain for node in proto.graph.node} - imported - _STANDARD):
        proto.opset_import.append(helper.make_opsetid(domain, 1))


def _is_external(tensor: onnx.TensorProto) -> bool:
    external = tensor.data_location != onnx.TensorProto.DEFAULT
    return external or len(tensor.external_data) > 0


def _check_functions(path: Path, proto: onnx.ModelProto) -> None:
    """Check that ONNX Runtime computes for the file's layers what our operators compute."""
    ours = {function.name: function for function in model_local_functions()}
    present = [function for function in proto.functions if function.domain == DOMAIN]
    foreign = [function.name for function in present if function != ours.get(function.name)]
    used = {node.op_type for node in proto.graph.node if node.domain == DOMAIN}
    absent = (used & set(ours)) - {function.name for function in present}
    for names, flaw in ((foreign, "another body than"), (sorted(absent), "no body like")):
        if names:
            raise InputError(
                f"the function '{names[0]}' of '{path}' has {flaw} that of this version of "
                "bitat-deploy; export the network again"
            )


def _constant(path: Path, tensor: onnx.TensorProto) -> NDArray[Any]:
    try:
        array = numpy_helper.to_array(tensor)
    except (
        ArithmeticError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(
            f"the weights '{tensor.name}' of '{path}' are damaged; export the network again"
        ) from error
    if array.size == 0:
        raise InputError(f"the weights '{tensor.name}' of '{path}' are empty; export it again")
    return array


def _is_text(text: str) -> bool:
    return text.replace("\n", "").replace("\t", "").isprintable()


def _image_shape(path: Path, value: onnx.ValueInfoProto) -> tuple[int, int, int]:
    tensor = value.type.tensor_type
    dimensions = [dimension.dim_value for dimension in tensor.shape.dim]
    sound = all(0 < extent <= _MAXIMUM_EXTENT for extent in dimensions[1:])
    if tensor.elem_type != onnx.TensorProto.UINT8 or len(dimensions) != 4 or not sound:
        raise InputError(
            f"input '{value.name}' of '{path}' is not a uint8 image [N, height, width, channels] "
            f"of fixed size, each at most {_MAXIMUM_EXTENT}; export the network with bitat-deploy"
        )
    height, width, channels = dimensions[1:]
    return height, width, channels
