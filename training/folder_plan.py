"""A recipe for a folder of photos: chosen from what it holds, with a reason for each value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitat_deploy.datasets import DEFAULT_SHARE, IMAGE_FOLDER, FolderSurvey, HeldOut, survey_folder
from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import LONGEST_NAME, as_file_name
from bitat_deploy.training.recipe import Recipe, apply_change, recipe_from_mapping
from bitat_deploy.training.starting_point import starting_network

SIDES = (32, 48, 64, 96)  # pixels; larger photos are resized to the largest
BITS = {"w1a1": (1, 1), "w1a2": (1, 2), "w2a2": (2, 2), "w4a4": (4, 4)}
_LEAST_PHOTOS = 10  # for training, of each class
_SEEN = 120_000  # images that a stage of training sees, repeated as often as that takes
_EPOCHS = (10, 60)  # least and most


@dataclass(frozen=True)
class TrainingPlan:
    """A recipe, and a sentence on each value that was chosen."""

    recipe: Recipe
    reasons: tuple[str, ...]


def plan_training(
    folder: Path,
    *,
    group: str | None = None,
    bits: str | None = None,
    init: str | None = None,
    changes: Sequence[str] = (),
) -> TrainingPlan:
    """Choose how to train on ``folder``, of CLASS/IMAGE or train/CLASS/IMAGE and test/CLASS/IMAGE.

    ``group`` keeps images together, see :class:`HeldOut`. ``bits``, a key of ``BITS``, of weights
    and activations: by default 1 and 2, or 1 in a network of ReActNet's blocks. ``init`` as in a
    recipe: its network is taken too. ``changes`` are "key=value" as in :func:`load_recipe` and come
    last. Raises InputError where the folder does not hold enough.
    """
    survey = survey_folder(folder, HeldOut(DEFAULT_SHARE, group))
    _check(folder, survey)
    document: dict[str, Any] = {
        "name": as_file_name(folder.resolve().name.split(".")[0], LONGEST_NAME),
        "description": f"{len(survey.class_names)} classes of photos in the folder {folder.name}",
        "dataset": IMAGE_FOLDER,
    }
    data, reasons = _data(survey, group)
    network = starting_network(init)
    method, bits_reasons = _method(bits, network)
    document |= {"network": network, "data": data, **method}
    reasons |= bits_reasons
    if init is not None:
        document["init"] = init
        reasons[f"init {init}"] = "what it has in common with the network is where training begins"
    reasons |= _duration(document, sum(survey.training))
    for change in changes:
        apply_change(document, change)
    recipe = recipe_from_mapping(document)
    changed = {change.partition("=")[0] for change in changes}
    kept = [
        f"{what}: {reason}" for what, reason in reasons.items() if what.split()[0] not in changed
    ]
    kept += [f"{change}: as you say" for change in changes]
    return TrainingPlan(recipe, tuple(kept))


def _check(folder: Path, survey: FolderSurvey) -> None:
    for name, count in zip(survey.class_names, survey.training, strict=True):
        if count < _LEAST_PHOTOS:
            raise InputError(
                f"class '{name}' in '{folder}' has {count} photos for training; add some, so that "
                f"each class has {_LEAST_PHOTOS} or more, or leave it out"
            )


def _data(survey: FolderSurvey, group: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The section ``data``, and the reasons, by key and value."""
    training, test = sum(survey.training), sum(survey.test)
    held = min(max(training // 10, 1), 2000)
    batch = 32 if training < 4000 else 64 if training < 40_000 else 128
    side = max((side for side in SIDES if side <= survey.side), default=SIDES[0])
    data: dict[str, Any] = {
        "image_size": side,
        "random_resized_crop": [0.4, 1.0],
        "batch_size": batch,
        "validation_images": held,
    }
    photos = f"{len(survey.class_names)} classes, {training:,} photos for training, {test:,} for "
    reasons = {photos + "testing": "as the folder splits them"}
    if not survey.splits_itself:
        data["test_share"] = DEFAULT_SHARE
        reasons = {
            photos + "testing": "the folder has no test photos, so the file name decides for each",
            f"data.test_share {DEFAULT_SHARE}": "this share of each class, more or less",
        }
    if group is not None:
        data["group"] = group
        reasons[f"data.group {group}"] = "photos with the same text there stay together"
    if survey.left_out:
        kinds = ", ".join(f"{count} {end}" for end, count in sorted(survey.left_out.items()))
        reasons["left out"] = f"files that are no pictures which can be read: {kinds}"
    return data, reasons | {
        f"data.image_size {side}": f"the photos' shorter side is {survey.side} pixels, the largest "
        f"size that is chosen here {SIDES[-1]}",
        f"data.validation_images {held}": "a tenth of those for training, to watch progress",
        f"data.batch_size {batch}": f"gives {(training - held) // batch:,} steps in an epoch",
    }


def _method(bits: str | None, network: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The sections that say how it is quantized and trained, but for their epochs; the reasons."""
    if bits is None:  # ReActNet's thresholds and shifts are for signs
        bits = "w1a1" if network["block"] == "reactnet" else "w1a2"
    if bits not in BITS:
        raise InputError(f"bits must be one of {', '.join(BITS)}, not {bits}")
    weights, activations = BITS[bits]
    if activations == 1:
        return {"method": "straight-through", "quantization": {"nonlinearity": "relu"}}, {}
    quantization = {
        "quantizer": "uniq",
        "weight_bits": weights,
        "activation_bits": activations,
    }
    reasons = {}
    if weights == 1 and network["block"] == "shortcut":
        quantization["layer_bits"] = {"*.depthwise": 8}
        reasons["quantization.layer_bits *.depthwise=8"] = (
            "one bit costs the most accuracy there, and eight hardly any modelled cycles"
        )
    optimizer = {"kind": "sgd", "weight_decay": 1e-4}
    return {"method": "uniq", "quantization": quantization, "optimizer": optimizer}, reasons


def _duration(document: dict[str, Any], training: int) -> dict[str, str]:
    """Set the epochs and learning rates of both stages; the reason."""
    least, most = _EPOCHS
    epochs = min(max(_SEEN // training, least), most)
    rates = (0.005, 0.005)
    if document.get("optimizer", {}).get("kind") == "sgd":
        # Those of the recipe for Fashion-MNIST, which are for batches of 128.
        share = document["data"]["batch_size"] / 128
        rates = (0.1 * share, 0.05 * share)
    document["full_precision"] = {"epochs": epochs, "learning_rate": rates[0], "warmup_epochs": 1}
    document["quantized"] = {"epochs": epochs, "learning_rate": rates[1], "warmup_epochs": 1}
    return {
        f"full_precision.epochs {epochs}": f"{epochs * training:,} photos are seen",
        f"quantized.epochs {epochs}": "the same again with few bits",
    }
