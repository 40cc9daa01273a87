"""An ONNX file as a graph: read and checked, before its nodes are looked at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper

from bitat_deploy.errors import InputError
from bitat_deploy.onnx_format.functions import DOMAIN, VERSION


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
    metadata: dict[str, str]


def read_model(path: Path) -> Model:
    """Read and check an ONNX file.

    Raises InputError where the file is missing, no ONNX, damaged, of another version of our
    functions, or not a network from one uint8 image to logits.
    """
    proto = _load(path)
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    if versions.get(DOMAIN, VERSION) != VERSION:
        raise InputError(
            f"'{path}' uses version {versions[DOMAIN]} of our operators, this program knows "
            f"version {VERSION}; export the network again with this version of bitat-deploy"
        )
    graph = proto.graph
    initializers = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initializers]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise InputError(
            f"'{path}' has {len(inputs)} inputs and {len(graph.output)} outputs; "
            "a network with one image input and one output is needed"
        )
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    class_names = metadata.pop("class_names", "")
    return Model(
        path=path,
        name=graph.name or path.stem,
        input_name=inputs[0].name,
        output_name=graph.output[0].name,
        input_shape=_image_shape(path, inputs[0]),
        nodes=tuple(graph.node),
        initializers=initializers,
        class_names=tuple(class_names.split(",")) if class_names else (),
        metadata=metadata,
    )


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise InputError(f"there is no ONNX file '{path}'; check the path")
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except DecodeError as error:
        raise InputError(f"'{path}' is no ONNX file, or is damaged; export it again") from error
    except (onnx.checker.ValidationError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise InputError(f"'{path}' is not a valid ONNX file: {first_line}") from error
    return proto


def _image_shape(path: Path, value: onnx.ValueInfoProto) -> tuple[int, int, int]:
    tensor = value.type.tensor_type
    dimensions = [dimension.dim_value for dimension in tensor.shape.dim]
    if tensor.elem_type != onnx.TensorProto.UINT8 or len(dimensions) != 4 or 0 in dimensions[1:]:
        raise InputError(
            f"input '{value.name}' of '{path}' is not a uint8 image [N, height, width, channels] "
            "of fixed size; export the network with bitat-deploy"
        )
    assert np.prod(dimensions[1:]) > 0
    height, width, channels = dimensions[1:]
    return height, width, channels
