"""Comparing the rewritten network with the file that the user gave, before anything is built."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.errors import BitatDeployError, UnsupportedOperatorError
from bitat_deploy.foreign.execute import session
from bitat_deploy.foreign.graph import Graph, describe
from bitat_deploy.network import IMAGE

IMAGES = 24
# Of the largest logit. ONNX Runtime may add up the float32 parts in another order.
_TOLERANCE = 1e-3


class ImportMismatchError(BitatDeployError):
    """The rewritten network does not compute what the file computes; nothing was built."""


@dataclass(frozen=True)
class Comparison:
    """What the rewritten network does on ``images`` drawn pictures.

    ``logit_difference`` is the largest, relative to the largest logit; ``differing`` counts
    pictures with another prediction. ``hangs_on_rounding``: the file's own answers do, as sums
    in it are as large as a threshold.
    """

    images: int
    differing: int
    logit_difference: float
    hangs_on_rounding: bool = False

    def describe(self) -> str:
        """One sentence."""
        words = (
            f"checked on {self.images} drawn pictures: {self.differing} predictions differ, "
            f"logits by at most {self.logit_difference:.1e} of the largest"
        )
        if not self.hangs_on_rounding:
            return words
        return (
            f"{words}; sums in the file are as large as thresholds, so that its own answers "
            "hang on how it rounds; with exact sums it gives ours"
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
    graph: Graph, tensors: Sequence[str], pictures: NDArray[np.uint8], optimize: bool = True
) -> Iterator[list[NDArray[Any]]]:
    """The values of ``tensors`` for one picture after the other, by ONNX Runtime.

    Its optimizations, which :func:`compare` has to leave out, put a factor that comes after a
    convolution into the weights.
    """
    model = graph.to_model()
    known = {value.name for value in model.graph.output}
    extra = [onnx.ValueInfoProto(name=name) for name in tensors if name not in known]
    model.graph.output.extend(extra)
    try:
        network = session(model.SerializeToString(), optimize)
    except Exception as error:  # ONNX Runtime's exceptions have no public common base
        culprit = next((node for node in graph.nodes if node.name in str(error)), None)
        what = describe(culprit) if culprit is not None else "the file"
        first_line = str(error).strip().splitlines()[0]
        raise UnsupportedOperatorError(
            f"ONNX Runtime, which gives the reference, does not run {what}: {first_line}"
        ) from error
    for picture in pictures:
        yield network.run(list(tensors), {IMAGE: picture[None]})


def tensors_with_zeros(
    graph: Graph, pictures: NDArray[np.uint8], optimize: bool = True
) -> set[str]:
    """Results of Sign in which one of the pictures makes a 0."""
    signs = [node.output[0] for node in graph.nodes if node.op_type == "Sign"]
    found: set[str] = set()
    if not signs:
        return found
    for values in reference_outputs(graph, signs, pictures, optimize):
        found.update(name for name, value in zip(signs, values, strict=True) if (value == 0).any())
    return found


def compare(
    original: Graph, exact: Graph, rewritten: Graph, pictures: NDArray[np.uint8]
) -> Comparison:
    """Run all three on ``pictures``: what the file says, the same with exact sums, and ours.

    Raises ImportMismatchError where ours is neither the first nor the second. In a few pictures
    a value next to a threshold may fall on the other side of it; in the most they agree.
    """
    wanted, given = logits_of(original, pictures), logits_of(rewritten, pictures)
    difference = _difference(wanted, given)
    differing = int((wanted.argmax(axis=1) != given.argmax(axis=1)).sum())
    comparison = Comparison(len(pictures), differing, float(difference.max()))
    if float(np.median(difference)) <= _TOLERANCE:
        return comparison
    by_exact = _difference(logits_of(exact, pictures, optimize=False), given)
    if float(np.median(by_exact)) <= _TOLERANCE:
        return replace(comparison, hangs_on_rounding=True)
    raise ImportMismatchError(
        "the network in our operators does not compute what the ONNX file computes "
        f"({comparison.describe()}); nothing was built. Please report this as a defect of "
        "bitat-deploy"
    )


def _difference(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest of each picture, relative to the largest logit of all."""
    largest = max(float(np.abs(wanted).max()), 1e-30)
    difference = np.abs(wanted.astype(np.float64) - given).max(axis=1) / largest
    return np.where(np.isfinite(given).all(axis=1), difference, np.inf)


def logits_of(
    graph: Graph, pictures: NDArray[np.uint8], optimize: bool = True
) -> NDArray[np.float32]:
    """Logits float32 [pictures, classes]."""
    outputs = reference_outputs(graph, [graph.output], pictures, optimize)
    return np.stack([values[0][0] for values in outputs])
