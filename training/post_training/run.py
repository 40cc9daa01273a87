"""Quantizes a checkpoint's file into a folder, as ``train`` leaves one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bitat_deploy.datasets import IMAGE_FOLDER, load_dataset, load_photos, photo_splits
from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from bitat_deploy.training.data import ImageSet, to_image_set
from bitat_deploy.training.evaluation import network_top1
from bitat_deploy.training.post_training.quantize import (
    QuantizeOptions,
    quantize_checkpoint,
    reference_network,
)
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.report import write_report
from bitat_deploy.training.run import CHECKPOINT_NAME, REPORT_NAME


def quantize_run(
    path: Path,
    data: Path | None,
    output: Path | None,
    options: QuantizeOptions,
    images: int,
    progress: TrainingProgress,
) -> tuple[Checkpoint, Path]:
    """Quantize the checkpoint at ``path`` on ``images`` images; the result, and where it is.

    ``data`` as in :func:`quantization_images`; ``output`` is a folder, by default runs/NAME-wWaA
    with the numbers of bits. The result has ``reference_top1`` too, the accuracy of the network
    before, in floating point. Raises InputError where checkpoint, images or bits do not allow it.
    """
    checkpoint = load_checkpoint(path)
    bits = f"w{options.weight_bits}a{options.activation_bits}"
    output = output or Path("runs") / f"{checkpoint.recipe.name}-{bits}"
    if (output / CHECKPOINT_NAME).resolve() == path.resolve():
        raise InputError(f"the result would replace '{path}'; give another --output")
    reference = reference_network(checkpoint, path)
    photos, test = quantization_images(checkpoint, data, images, options.seed)
    state = quantize_checkpoint(checkpoint, path, photos, test, options, progress)
    before = network_top1(reference, test)
    state = replace(state, result={**(state.result or {}), "reference_top1": before})
    save_checkpoint(state, output / CHECKPOINT_NAME)
    write_report(state, output / REPORT_NAME)
    return state, output / CHECKPOINT_NAME


def quantization_images(
    checkpoint: Checkpoint, path: Path | None, count: int, seed: int
) -> tuple[Tensor, ImageSet]:
    """At most ``count`` images uint8 [N, H, W, C], and the test images, of which there may be none.

    ``path`` is what holds the checkpoint's data set, or any folder or tar archive of pictures; None
    looks for that data set. Of pictures in train/CLASS and test/CLASS those in train/ are drawn.
    There are test images where they are others than those that are drawn from, and of the
    network's classes. Raises InputError where there are no images.
    """
    dataset, size = checkpoint.recipe.dataset, checkpoint.recipe.data.image_size
    held_out = checkpoint.recipe.data.held_out
    if path is None and dataset == IMAGE_FOLDER:
        raise InputError("the checkpoint was trained on a folder of images: give one with --data")
    if dataset != IMAGE_FOLDER or held_out is not None:
        try:
            training = load_dataset(dataset, "train", path, size, held_out)
        except InputError:  # not its files: any pictures
            if path is None:
                raise
        else:
            order = np.sort(np.random.default_rng(seed).permutation(len(training.labels))[:count])
            photos = torch.from_numpy(training.images[order])
            return photos, _test_images(checkpoint, path)
    assert path is not None
    splits = photo_splits(path)
    names = splits.get("train") or splits["any"]
    crop = checkpoint.recipe.data.crop
    shape = checkpoint.input_shape
    if crop is not None and size is not None and size > crop:
        shape = (size, size, shape[2])
    photos = torch.from_numpy(load_photos(path, names, shape, count, seed))
    both = "train" in splits and "test" in splits
    return photos, _test_images(checkpoint, path) if both else _no_images(checkpoint)


def _test_images(checkpoint: Checkpoint, path: Path | None) -> ImageSet:
    data, none = checkpoint.recipe.data, _no_images(checkpoint)
    try:
        name, size = checkpoint.recipe.dataset, data.image_size
        test = load_dataset(name, "test", path, size, data.held_out)
    except InputError:  # classes that do not agree
        return none
    if test.class_names != checkpoint.class_names:
        return none
    images = to_image_set(test, data.test_images).middle(data.crop)
    return images if images.images.shape[1:] == none.images.shape[1:] else none


def _no_images(checkpoint: Checkpoint) -> ImageSet:
    none = torch.empty(0, *checkpoint.input_shape, dtype=torch.uint8)
    return ImageSet(none, torch.empty(0, dtype=torch.int64))
