"""Ways to quantize a trained network without labels, side by side: rows of a table, resumable."""

import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitat_deploy.datasets import load_dataset
from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_file
from bitat_deploy.training import (
    Checkpoint,
    ImageSet,
    PostTrainingRecipe,
    QuantizeOptions,
    TrainingProgress,
    quantize_checkpoint,
    split_training,
)

WEIGHTS = (1, 2, 3, 4, 8)
STEPS = 300
_PLAIN = {"target": "weights"}
# How the levels are chosen.
METHODS: dict[str, dict[str, Any]] = {
    "nearest": {**_PLAIN, "rounding": "nearest"},
    "adaround": {**_PLAIN, "rounding": "adaround"},
    "gptq": {**_PLAIN, "rounding": "gptq"},
    "descent": _PLAIN,
    "stream": {},
    "stream+steps": {},
    "without-v": {"rounding": "nearest"},
}
# What of "stream" was chosen, and with what else: to be measured on validation images.
CHOICES: dict[str, dict[str, Any]] = {
    "stream": {},
    "stream+steps": {},
    "without-v": {"rounding": "nearest"},
    "with-adaround": {"rounding": "adaround"},
    "with-gptq": {"rounding": "gptq"},
    "no-prior": {"prior": False},
    "ridge-0.01": {"ridge": 0.01},
    "ridge-0.03": {"ridge": 0.03},
    "ridge-0.3": {"ridge": 0.3},
    "ridge-1": {"ridge": 1.0},
    "gamma-fit": {"gamma": "fit"},
    "gamma-keep": {"gamma": "keep"},
}
TITLES = {
    "nearest": "nearest level, scale by output error",
    "adaround": "AdaRound-like",
    "gptq": "GPTQ-like",
    "descent": "descent on the weights",
    "stream": "stream target, then descent",
    "stream+steps": f"the same, then {STEPS} steps",
    "without-v": "stream target, nearest level (V = I)",
    "with-adaround": "stream target, AdaRound-like",
    "with-gptq": "stream target, GPTQ-like",
    "no-prior": "stream target drawn to 0, not to the weights",
    "ridge-0.01": "rho 0.01 in place of 0.1",
    "ridge-0.03": "rho 0.03",
    "ridge-0.3": "rho 0.3",
    "ridge-1": "rho 1",
    "gamma-fit": "gamma fitted at all bits",
    "gamma-keep": "gamma kept at all bits",
}


@dataclass(frozen=True)
class RoundingRow:
    """One network: bits, method, and which images were drawn."""

    weights: int
    activations: int
    method: str
    seed: int

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"w{self.weights}a{self.activations}-{self.method}-seed{self.seed}"


def rows_of(
    activations: Sequence[int], seeds: Sequence[int], methods: Sequence[str] = tuple(METHODS)
) -> list[RoundingRow]:
    """All rows of the table."""
    return [
        RoundingRow(weights, bits, method, seed)
        for seed in seeds
        for bits in activations
        for weights in WEIGHTS
        for method in methods
    ]


def measured(
    row: RoundingRow,
    checkpoint: Checkpoint,
    path: Path,
    photos: Tensor,
    test: ImageSet,
    progress: TrainingProgress,
) -> dict[str, Any]:
    """Quantize and test; the row's record, accuracy as a fraction of 1.

    Raises InputError for bits that the checkpoint's network cannot have.
    """
    recipe = PostTrainingRecipe(**{**METHODS, **CHOICES}[row.method])
    steps = STEPS if row.method.endswith("+steps") else 0
    options = QuantizeOptions(row.weights, row.activations, recipe, steps, seed=row.seed)
    state = quantize_checkpoint(checkpoint, path, photos, test, options, progress)
    assert state.result is not None
    top1 = state.result["top1"]
    return {
        **asdict(row),
        "images": len(photos),
        "top1": top1,
        "standard_error": math.sqrt(top1 * (1 - top1) / len(test)),
        "evaluation": state.result["evaluation"],
        "seconds": round(state.elapsed, 1),
        "layers": state.history[0]["layers"],
    }


def validation_images(
    checkpoint: Checkpoint, path: Path | None, count: int, seed: int
) -> tuple[Tensor, ImageSet]:
    """As :func:`quantization_images`, of the training images alone: those that the run held out
    are tested on, ``count`` of the others quantize."""
    data = checkpoint.recipe.data
    dataset = load_dataset(checkpoint.recipe.dataset, "train", path, data.image_size)
    training, validation = split_training(dataset, data)
    order = np.sort(np.random.default_rng(seed).permutation(len(training))[:count])
    return training.images[torch.from_numpy(order)], validation.middle(data.crop)


def data_digest(photos: Tensor, test: ImageSet) -> str:
    """SHA-256 of images, by which a document knows what it was measured on."""
    digest = hashlib.sha256()
    for part in (photos, test.images, test.labels):
        digest.update(np.ascontiguousarray(part.numpy()).tobytes())
    return digest.hexdigest()


def begin_document(path: Path, checkpoint: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """What the JSON file ``path`` holds already, or ``facts`` and no rows.

    Raises InputError where it is of another checkpoint or of other ``facts``.
    """
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    if not path.is_file():
        return {"checkpoint_sha256": digest, **facts, "rows": []}
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"'{path}' is damaged; remove it to begin again") from error
    if document.get("checkpoint_sha256") != digest:
        raise InputError(f"'{path}' is of another checkpoint; give another --json")
    for name, value in facts.items():
        if document.get(name) != value:
            raise InputError(
                f"'{path}' is of other images ({name} {document.get(name)}, not {value}); give "
                "another --json"
            )
    return document


def missing(document: dict[str, Any], rows: Sequence[RoundingRow]) -> list[RoundingRow]:
    """The rows that the document does not have yet."""
    done = {tuple(entry[key] for key in RoundingRow.__annotations__) for entry in document["rows"]}
    return [row for row in rows if tuple(asdict(row).values()) not in done]


def write(document: dict[str, Any], path: Path) -> None:
    """The JSON file and, beside it, the table in Markdown."""
    for file, text in (
        (path, json.dumps(document, indent=1) + "\n"),
        (path.with_suffix(".md"), table(document)),
    ):
        with whole_file(file) as beside:
            beside.write(text.encode())


def table(document: dict[str, Any]) -> str:
    """Markdown: a table for each number of bits of the activations, a column for the weights'."""
    lines = [
        f"Network `{document['network']}` with real weights: {_percent(document['reference'])} on "
        f"{document['test_images']:,} {document['split']} images.",
    ]
    if "onnxruntime_int8" in document:
        int8 = _percent(document["onnxruntime_int8"])
        setting = document.get("onnxruntime_setting")
        how = "W8A8" if setting is None else f"W8A8, {setting}"
        lines += ["", f"ONNX Runtime's static quantization of it ({how}): {int8}."]
    by_row: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    for entry in document["rows"]:
        key = (entry["activations"], entry["weights"], entry["method"])
        by_row.setdefault(key, []).append(entry)
    for bits in sorted({key[0] for key in by_row}, reverse=True):
        columns = sorted({key[1] for key in by_row if key[0] == bits})
        titles = " | ".join(f"W{weights}" for weights in columns)
        lines += ["", f"| top-1 [%], activations of {bits} bits | {titles} |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for method, title in TITLES.items():
            cells = [by_row.get((bits, weights, method), []) for weights in columns]
            if any(cells):
                lines.append("| " + " | ".join([title, *map(_cell, cells)]) + " |")
    return "\n".join(lines) + "\n"


def _cell(entries: Sequence[dict[str, Any]]) -> str:
    """The mean over draws of images; the standard error of one measurement."""
    if not entries:
        return ""
    top1 = statistics.mean(entry["top1"] for entry in entries)
    error = max(entry["standard_error"] for entry in entries)
    draws = f" ({len(entries)} draws)" if len(entries) > 1 else ""
    return f"{100 * top1:.2f} ± {100 * error:.2f}{draws}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"
