"""Batches of training images, a pure function of seed and position: resuming needs no state."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from bitat_deploy.datasets import Dataset
from bitat_deploy.training.recipe_sections import DataRecipe

_WHOLE = slice(None)
_AHEAD = 2  # batches prepared before they are asked for


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images uint8 [N, H, W, C] and labels int64 [N] as tensors."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return self.images.shape[0]


@dataclass(frozen=True, eq=False)
class Batch:
    """``index`` int64 [B] into the training set, ``images`` uint8 [B, H, W, C], ``labels``."""

    index: Tensor
    images: Tensor
    labels: Tensor


def split_training(dataset: Dataset, recipe: DataRecipe) -> tuple[ImageSet, ImageSet]:
    """Training and validation images: the validation images are the last of the limited set."""
    total = min(recipe.train_images or len(dataset.labels), len(dataset.labels))
    boundary = max(total - recipe.validation_images, 0)
    everything = to_image_set(dataset, total)
    return (
        ImageSet(everything.images[:boundary], everything.labels[:boundary]),
        ImageSet(everything.images[boundary:], everything.labels[boundary:]),
    )


def to_image_set(dataset: Dataset, limit: int | None) -> ImageSet:
    """The first ``limit`` images as tensors."""
    # Images mapped from disk are writable in memory and may be larger than it: not to be copied.
    images = dataset.images[:limit]
    images = images if images.flags.writeable else images.copy()
    return ImageSet(torch.from_numpy(images), torch.from_numpy(dataset.labels[:limit].copy()))


def images_to_tensor(images: Tensor) -> Tensor:
    """uint8 [N, H, W, C] to float32 [N, C, H, W] in [0, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255


def steps_per_epoch(data: ImageSet, batch_size: int) -> int:
    """Full batches in one epoch; the rest of a shuffled epoch is left out."""
    return len(data) // batch_size


def training_batch(
    data: ImageSet, recipe: DataRecipe, seed: int, step: int, part: slice = _WHOLE
) -> Batch:
    """Batch number ``step`` of a stage: a slice of its epoch's permutation, augmented.

    ``part`` takes some of its images, each varied as it is in the whole batch.
    """
    steps = steps_per_epoch(data, recipe.batch_size)
    epoch, position = divmod(step, steps)
    order = _epoch_order(len(data), seed, epoch)
    index = order[position * recipe.batch_size : (position + 1) * recipe.batch_size]
    generator = _generator(seed, step, 1)
    images = augment(data.images[index[part]], recipe, generator, len(index), part)
    return Batch(index[part], images, data.labels[index[part]])


def training_batches(
    data: ImageSet, recipe: DataRecipe, seed: int, first: int, last: int, part: slice = _WHOLE
) -> Iterator[Batch]:
    """Batches ``first`` to ``last`` - 1 of a stage, each made while the one before is used.

    The same batches as :func:`training_batch` gives. numpy and torch leave Python's lock while
    they copy, so a thread is enough, and images mapped from disk are read by it.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Batch]] = deque()
        for step in range(first, last + _AHEAD):
            if step < last:
                waiting.append(pool.submit(training_batch, data, recipe, seed, step, part))
            if step >= first + _AHEAD:
                yield waiting.popleft().result()


def augment(
    images: Tensor,
    recipe: DataRecipe,
    generator: torch.Generator,
    drawn: int | None = None,
    part: slice = _WHOLE,
) -> Tensor:
    """Flip half of the images and shift each by up to ``recipe.shift`` pixels, filling with 0.

    ``images`` uint8 [B, H, W, C] of any size and number of channels, on the CPU; so the result.
    They are the ``part`` of ``drawn`` images for all of which there is a draw.
    """
    count, height, width, channels = images.shape
    if not (recipe.flip or recipe.shift):
        return images
    flipped = torch.zeros(count, dtype=torch.bool)
    if recipe.flip:
        flipped = (torch.rand(drawn or count, generator=generator) < 0.5)[part]
    if not recipe.shift:
        return torch.where(flipped[:, None, None, None], images.flip(2), images)
    offsets = torch.randint(0, 2 * recipe.shift + 1, (2, drawn or count, 1), generator=generator)
    offsets = offsets[:, part]
    shift = recipe.shift
    padded = np.zeros((count, height + 2 * shift, width + 2 * shift, channels), np.uint8)
    middle = padded[:, shift : shift + height, shift : shift + width]
    middle[...] = images.numpy()
    middle[flipped.numpy()] = images.numpy()[flipped.numpy(), :, ::-1]
    # windows[n, y, x] is image n shifted; choosing one for each n copies whole windows.
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (1, 2))
    rows, columns = offsets[..., 0].numpy()
    chosen = windows.transpose(0, 1, 2, 4, 5, 3)[np.arange(count), rows, columns]
    return torch.from_numpy(np.ascontiguousarray(chosen))


@lru_cache(maxsize=2)  # a permutation of a large set takes longer than a step's augmentation
def _epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=_generator(seed, epoch, 0))


def _generator(seed: int, position: int, purpose: int) -> torch.Generator:
    """A generator of its own for each purpose and position: no stream to save or restore."""
    mixed = (seed * 1_000_003 + position) * 2 + purpose
    return torch.Generator().manual_seed(mixed % 2**63)
