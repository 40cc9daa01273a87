"""Whether codes of several bits are multiplied bit by bit or as bytes.

Bit by bit, the time of a convolution grows with the pairs of bit planes: bits of the weights times
bits of the codes. As bytes it does not. ``arithmetic.json`` holds, for each processor, from how
many pairs on bytes are faster, for windows of one and of more pixels and for numbers of channels;
``scripts/choose-arithmetic`` finds it by the cycle model. x86 was measured. Tuning tries both.
"""

import json
from functools import cache
from importlib import resources
from pathlib import Path

from bitat_deploy.target import Target

FILE = "arithmetic.json"
NEVER = 17  # more pairs than there are


def bytes_from_pairs(target: Target, taps: int, channels: int) -> int:
    """The fewest pairs of planes that are faster as bytes, for ``channels`` of a group.

    Numbers of channels between those of the table count as the next lower one.
    """
    known = _table()
    of_processor = known.get(target.model_cpu or target.cpu) or known[_kind(target)]
    of_window = of_processor["1x1" if taps == 1 else "windows"]
    below = [number for number in of_window if int(number) <= channels]
    return of_window[max(below, key=int)] if below else NEVER


def _kind(target: Target) -> str:
    """The processors that others are treated like."""
    if target.architecture == "x86_64":
        return "x86_64"
    return "cortex-a55" if "+dotprod" in target.features else "cortex-a53"


@cache
def _table() -> dict[str, dict[str, dict[str, int]]]:
    path = Path(str(resources.files("bitat_deploy.operators"))) / FILE
    document: dict[str, dict[str, dict[str, int]]] = json.loads(path.read_text())["processors"]
    return document
