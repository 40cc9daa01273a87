"""Comparing the rewritten network with the file that the user gave, before anything is built."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.errors import BitatDeployError, UnsupportedOperatorError
from bitat_deploy.foreign.execute import session
from bitat_deploy.foreign.graph import Graph, describe
from bitat_deploy.network import IMAGE

IMAGES = 24
# What rounding may do: the original adds products of float32 scales, ours adds whole numbers and
# scales once, so that a value next to a threshold may fall on the other side of it.
_TOLERANCE = 1e-3


class ImportMismatchError(BitatDeployError):
    """The rewritten network does not compute what the file computes; nothing was built."""


@dataclass(frozen=True)
class Comparison:
    """What the rewritten network does on ``images`` drawn pictures.

    ``logit_difference`` is the largest, relative to the largest logit; ``differing`` counts
    pictures with another prediction.
    """

    images: int
    differing: int
    logit_difference: float

    def describe(self) -> str:
        """One sentence."""
        return (
            f"checked on {self.images} drawn pictures: {self.differing} predictions differ, "
            f"logits by at most {self.logit_difference:.1e} of the largest"
        )


def drawn_pictures(shape: tuple[int, int, int], count: int = IMAGES) -> NDArray[np.uint8]:
    """Pictures uint8 [count, H, W, C]: black, white, noise, and smooth ones like photographs."""
    random = np.random.default_rng(0)
    height, width, channels = shape
    pictures = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    rows, columns = np.mgrid[0:height, 0:width][..., None] / max(height, width)
    for picture in pictures[: count // 2]:
        waves = np.zeros(shape)
        for _ in range(4):
            phase, tilt, turn = random.uniform(0, 7, (3, channels))
            waves += np.sin(phase + tilt * rows + turn * columns)
        picture[:] = np.clip(128 + 60 * waves, 0, 255).astype(np.uint8)
    pictures[0], pictures[1] = 0, 255
    return pictures


def reference_outputs(
    graph: Graph, tensors: Sequence[str], pictures: NDArray[np.uint8]
) -> Iterator[list[NDArray[Any]]]:
    """The values of ``tensors`` for one picture after the other, by ONNX Runtime."""
    model = graph.to_model()
    known = {value.name for value in model.graph.output}
    extra = [onnx.ValueInfoProto(name=name) for name in tensors if name not in known]
    model.graph.output.extend(extra)
    try:
        network = session(model.SerializeToString())
    except Exception as error:  # ONNX Runtime's exceptions have no public common base
        culprit = next((node for node in graph.nodes if node.name in str(error)), None)
        what = describe(culprit) if culprit is not None else "the file"
        first_line = str(error).strip().splitlines()[0]
        raise UnsupportedOperatorError(
            f"ONNX Runtime, which gives the reference, does not run {what}: {first_line}"
        ) from error
    for picture in pictures:
        yield network.run(list(tensors), {IMAGE: picture[None]})


def tensors_with_zeros(graph: Graph, pictures: NDArray[np.uint8]) -> set[str]:
    """Results of Sign in which one of the pictures makes a 0."""
    signs = [node.output[0] for node in graph.nodes if node.op_type == "Sign"]
    found: set[str] = set()
    if not signs:
        return found
    for values in reference_outputs(graph, signs, pictures):
        found.update(name for name, value in zip(signs, values, strict=True) if (value == 0).any())
    return found


def compare(original: Graph, rewritten: Graph, pictures: NDArray[np.uint8]) -> Comparison:
    """Run both on ``pictures``. Raises ImportMismatchError where they differ by more than rounding.

    A few pictures may differ, in which a value fell on the other side of a threshold; the rest
    must agree.
    """
    wanted = logits_of(original, pictures)
    given = logits_of(rewritten, pictures)
    largest = max(float(np.abs(wanted).max()), 1e-30)
    by_picture = np.abs(wanted - given).max(axis=1) / largest
    differing = wanted.argmax(axis=1) != given.argmax(axis=1)
    comparison = Comparison(len(pictures), int(differing.sum()), float(by_picture.max()))
    if float(np.median(by_picture)) > _TOLERANCE or not np.isfinite(given).all():
        raise ImportMismatchError(
            "the network in our operators does not compute what the ONNX file computes "
            f"({comparison.describe()}); nothing was built. Please report this as a defect of "
            "bitat-deploy"
        )
    return comparison


def logits_of(graph: Graph, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits float32 [pictures, classes]."""
    rows = [values[0][0] for values in reference_outputs(graph, [graph.output], pictures)]
    return np.stack(rows)
