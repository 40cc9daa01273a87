"""Batches of training images, a pure function of seed and position: resuming needs no state."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as functional
from torch import Tensor

from bitat_deploy.datasets import Dataset, split_validation
from bitat_deploy.training.augmentation import augment, middle, mixed, mixing_share
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

    def middle(self, crop: int | None) -> "ImageSet":
        """The middle squares of ``crop`` pixels; all of the images where it is None."""
        return ImageSet(middle(self.images, crop), self.labels)


@dataclass(frozen=True, eq=False)
class Batch:
    """``index`` int64 [B] into the training set, ``images`` uint8 [B, H, W, C], ``labels``.

    With mixup an image is ``share`` of the one of ``labels`` and the rest of one of
    ``other_labels``.
    """

    index: Tensor
    images: Tensor
    labels: Tensor
    other_labels: Tensor
    share: float = 1.0


def split_training(dataset: Dataset, recipe: DataRecipe) -> tuple[ImageSet, ImageSet]:
    """Training and validation images of the limited set, see :func:`split_validation`."""
    limited = dataset.first(recipe.train_images)
    training, held = split_validation(limited, recipe.validation_images, recipe.group)
    return to_image_set(training, None), to_image_set(held, None)


def to_image_set(dataset: Dataset, limit: int | None) -> ImageSet:
    """The first ``limit`` images as tensors."""
    # Images mapped from disk are writable in memory and may be larger than it: not to be copied.
    images = dataset.images[:limit]
    images = images if images.flags.writeable else images.copy()
    return ImageSet(torch.from_numpy(images), torch.from_numpy(dataset.labels[:limit].copy()))


def images_to_tensor(images: Tensor) -> Tensor:
    """uint8 [N, H, W, C] to float32 [N, C, H, W] in [0, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255


def targets(batch: Batch, classes: int) -> Tensor:
    """What the logits should be: labels int64 [B], or shares of classes float32 [B, classes]."""
    if batch.share == 1.0:
        return batch.labels
    own, other = (
        functional.one_hot(labels, classes) for labels in (batch.labels, batch.other_labels)
    )
    return own * batch.share + other * (1 - batch.share)


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
    own = torch.arange(len(index))[part]
    if not recipe.mixup:
        images = augment(data.images[index[own]], recipe, generator, len(index), own)
        labels = data.labels[index[own]]
        return Batch(index[own], images, labels, labels)
    others = (own + 1) % len(index)  # the order is random already
    both = torch.cat([own, others]).unique()
    images = augment(data.images[index[both]], recipe, generator, len(index), both)
    images, partners = (images[torch.searchsorted(both, some)] for some in (own, others))
    share = mixing_share(recipe.mixup, generator)
    labels, other_labels = (data.labels[index[some]] for some in (own, others))
    return Batch(index[own], mixed(images, partners, share), labels, other_labels, share)


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


@lru_cache(maxsize=2)  # a permutation of a large set takes longer than a step's augmentation
def _epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=_generator(seed, epoch, 0))


def _generator(seed: int, position: int, purpose: int) -> torch.Generator:
    """A generator of its own for each purpose and position: no stream to save or restore."""
    mixed = (seed * 1_000_003 + position) * 2 + purpose
    return torch.Generator().manual_seed(mixed % 2**63)
