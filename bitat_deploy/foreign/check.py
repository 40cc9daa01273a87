"""Compares the rewritten network with the user's file before anything is built."""

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
from bitat_deploy.plain_text import message_lines

# Of the largest logit. ONNX Runtime may add up the float32 parts in another order.
_TOLERANCE = 1e-3
_MOST = 0.9  # of the pictures
_AS_WRITTEN = "compared with the file as it is written, without ONNX Runtime's optimizations"
_ROUNDING = (
    "sums in the file are as large as thresholds, so that its own answers depend on how it "
    "rounds; with exact sums it gives ours"
)


class ImportMismatchError(BitatDeployError):
    """The rewritten network does not compute what the file computes; nothing was built."""


@dataclass(frozen=True)
class Comparison:
    """The result of comparing on ``images`` drawn pictures.

    ``logit_difference`` is the largest, relative to the largest logit; ``differing`` counts
    pictures with another prediction. ``as_written``: ONNX Runtime's optimizations change the
    file's answers, and ours are those without them. ``remark`` says that, or that exact sums
    were needed.
    """

    images: int
    differing: int
    logit_difference: float
    as_written: bool = False
    remark: str = ""

    def describe(self) -> str:
        """One sentence."""
        return (
            f"checked on {self.images} drawn pictures: {self.differing} predictions differ, "
            f"logits by at most {self.logit_difference:.1e} of the largest"
            + (f"; {self.remark}" if self.remark else "")
        )


def reference_outputs(
    graph: Graph, tensors: Sequence[str], pictures: NDArray[np.uint8], optimize: bool = True
) -> Iterator[list[NDArray[Any]]]:
    """The values of ``tensors`` in ONNX Runtime, picture by picture.

    Its optimizations fold a factor after a convolution into the weights, so exact sums are
    compared without them.
    """
    model = graph.to_model()
    known = {value.name for value in model.graph.output}
    extra = [onnx.ValueInfoProto(name=name) for name in tensors if name not in known]
    model.graph.output.extend(extra)
    try:
        network = session(model.SerializeToString(), optimize)
    except Exception as error:  # ONNX Runtime's exceptions have no public common base
        raise _refused(graph, error) from error
    for picture in pictures:
        try:
            values = network.run(list(tensors), {IMAGE: picture[None]})
        except Exception as error:
            raise _refused(graph, error) from error
        yield values


def _refused(graph: Graph, error: Exception) -> UnsupportedOperatorError:
    message = str(error)
    culprit = next((node for node in graph.nodes if f"'{node.name}'" in message), None)
    what = describe(culprit) if culprit is not None else "the file"
    return UnsupportedOperatorError(
        f"ONNX Runtime, which gives the reference, does not run {what}: {message_lines(error)[0]}"
    )


def tensors_with_zeros(
    graph: Graph, pictures: NDArray[np.uint8], optimize: bool = True
) -> set[str]:
    """Outputs of Sign nodes that are 0 somewhere in one of the pictures."""
    signs = [node.output[0] for node in graph.nodes if node.op_type == "Sign"]
    found: set[str] = set()
    if not signs:
        return found
    for values in reference_outputs(graph, signs, pictures, optimize):
        found.update(name for name, value in zip(signs, values, strict=True) if (value == 0).any())
    return found


def compare(
    original: Graph,
    exact: Graph,
    rewritten: Graph,
    pictures: NDArray[np.uint8],
    wanted: NDArray[np.float32],
) -> Comparison:
    """Run ours on ``pictures`` and compare it with ``wanted``, what the file gives for them.

    Where ONNX Runtime's optimizations change the answers, both have to agree without them, as
    they are written; where sums in the file are as large as thresholds, ours has to agree with
    the file with ``exact`` sums. Raises ImportMismatchError where they do not. In a few pictures
    a value next to a threshold may fall on the other side of it; in most they agree.
    """
    given = logits_of(rewritten, pictures)
    as_written = logits_of(rewritten, pictures, optimize=False)
    changed = _difference(as_written, given)
    comparison = _comparison(wanted, given)
    if comparison is not None and (changed <= _TOLERANCE).mean() >= _MOST:
        return comparison
    written = _comparison(logits_of(original, pictures, optimize=False), as_written)
    if written is not None:
        remark = f"{_AS_WRITTEN}, which change logits by up to {changed.max():.1e}"
        return replace(written, as_written=True, remark=remark)
    difference = _difference(wanted, given)
    differing = int((wanted.argmax(axis=1) != given.argmax(axis=1)).sum())
    comparison = Comparison(len(pictures), differing, float(difference.max()), remark=_ROUNDING)
    by_exact = logits_of(exact, pictures, optimize=False)
    if any(_comparison(by_exact, ours) is not None for ours in (given, as_written)):
        return comparison
    raise ImportMismatchError(
        "the network in our operators does not compute what the ONNX file computes "
        f"({replace(comparison, remark='').describe()}); nothing was built. Please report this as "
        "a bug in bitat-deploy"
    )


def _comparison(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> Comparison | None:
    """None where most logits differ."""
    difference = _difference(wanted, given)
    if not float(np.median(difference)) <= _TOLERANCE:
        return None
    differing = int((wanted.argmax(axis=1) != given.argmax(axis=1)).sum())
    return Comparison(len(wanted), differing, float(difference.max()))


def _difference(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest of each picture, relative to the largest logit of all.

    It is 0 if neither is finite, and infinite if only one is.
    """
    finite = [np.isfinite(logits).all(axis=1) for logits in (wanted, given)]
    largest = max(float(np.abs(wanted[finite[0]]).max(initial=0)), 1e-30)
    with np.errstate(invalid="ignore"):
        difference = np.abs(wanted.astype(np.float64) - given).max(axis=1) / largest
    difference = np.where(finite[0] & finite[1], difference, np.inf)
    return np.where(finite[0] | finite[1], difference, 0)


def logits_of(
    graph: Graph, pictures: NDArray[np.uint8], optimize: bool = True
) -> NDArray[np.float32]:
    """Logits float32 [pictures, classes]."""
    outputs = reference_outputs(graph, [graph.output], pictures, optimize)
    return np.stack([values[0][0] for values in outputs])
