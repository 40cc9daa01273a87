"""The file of a user's binarized network, which ``export`` and ``build`` take."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.network import IntegerNetwork, Preprocessing
from bitat_deploy.plain_text import as_file_name, foreign_text
from bitat_deploy.training.checkpoint import write_document
from bitat_deploy.training.own_network.fold import fold_graph
from bitat_deploy.training.own_network.graph import ModelGraph, Operation

FORMAT = "bitat-deploy binarized model"
VERSION = 1
_FIELDS = ("name", "kind", "inputs", "shape", "values", "tensors", "peak")


@dataclass(frozen=True, eq=False)
class BinarizedModel:
    """A user's network, its classes, and what is done to a picture before it.

    ``description`` says how it was trained.
    """

    name: str
    graph: ModelGraph
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    description: str

    def integer_network(self) -> IntegerNetwork:
        """Raises UnsupportedOperatorError naming a module that has no place in one."""
        layers = fold_graph(self.graph)
        # The arithmetic is in the first convolution: the device gives it the bytes.
        bytes_alone = replace(self.preprocessing, scale=1.0, mean=(0.0,), std=(1.0,))
        try:
            return IntegerNetwork(
                self.name,
                self.graph.input_shape,
                layers,
                self.class_names,
                {"method": self.description},
                bytes_alone,
            )
        except ValueError as error:
            raise UnsupportedOperatorError(f"the model cannot be exported: {error}") from error

    def save(self, path: Path) -> None:
        """Write it whole or not at all. Raises CheckpointNotSavedError."""
        operations = [
            {name: getattr(operation, name) for name in _FIELDS}
            for operation in self.graph.operations
        ]
        values = {
            "name": self.name,
            "operations": operations,
            "input_shape": self.graph.input_shape,
            "class_names": self.class_names,
            "preprocessing": self.preprocessing.to_text(),
            "description": self.description,
        }
        write_document(values, FORMAT, VERSION, path)


def network_of_document(document: dict[str, Any], path: Path) -> IntegerNetwork:
    """The network that :meth:`BinarizedModel.save` wrote. Raises InputError for a damaged file."""
    if document.get("version") != VERSION:
        raise InputError(
            f"'{path}' has version {foreign_text(str(document.get('version')))}, this program "
            f"reads version {VERSION}; binarize the model again or use the matching release"
        )
    try:
        operations = tuple(
            Operation(**{name: entry[name] for name in _FIELDS}) for entry in document["operations"]
        )
        preprocessing = Preprocessing.from_text(document["preprocessing"])
        model = BinarizedModel(
            as_file_name(document["name"]),
            graph_of(operations, document["input_shape"], preprocessing),
            tuple(map(str, document["class_names"])),
            preprocessing,
            foreign_text(document["description"]),
        )
        return model.integer_network()
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(
            f"'{path}' is damaged ({type(error).__name__}: {foreign_text(str(error))}); binarize "
            "the model again"
        ) from error


def graph_of(
    operations: tuple[Operation, ...], shape: tuple[int, ...], preprocessing: Preprocessing
) -> ModelGraph:
    """The graph for images of ``shape`` (H, W, C). Raises InputError where they do not agree."""
    height, width, channels = shape
    preprocessing.check((height, width, channels))
    mean, std = (
        values * channels if len(values) == 1 else values
        for values in (preprocessing.mean, preprocessing.std)
    )
    return ModelGraph(operations, (height, width, channels), preprocessing.scale, mean, std)
