"""A network's answer to one image as a table."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.markup import escape
from rich.table import Table

_SHOWN = 5


def top_classes_table(logits: NDArray[np.float32], class_names: Sequence[str]) -> Table:
    """The classes with the largest of ``logits`` [classes], and their softmax."""
    exponentials = np.exp(logits.astype(np.float64) - float(logits.max()))
    shares = exponentials / exponentials.sum()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    table.add_column("softmax", justify="right", no_wrap=True)
    table.add_column("logit", justify="right", no_wrap=True)
    named = len(class_names) == len(logits)
    for index in np.argsort(-logits, kind="stable")[:_SHOWN]:
        name = class_names[index] if named else f"class {index}"
        table.add_row(escape(name), f"{shares[index]:.1%}", f"{logits[index]:.3f}")
    return table
