"""Batches of training images, a pure function of seed and position: resuming needs no state."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bitat_deploy.datasets import Dataset
from bitat_deploy.training.recipe import DataRecipe


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
    images = torch.from_numpy(dataset.images[:limit].copy())
    return ImageSet(images, torch.from_numpy(dataset.labels[:limit].copy()))


def images_to_tensor(images: Tensor) -> Tensor:
    """uint8 [N, H, W, C] to float32 [N, C, H, W] in [0, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255


def steps_per_epoch(data: ImageSet, batch_size: int) -> int:
    """Full batches in one epoch; the rest of a shuffled epoch is left out."""
    return len(data) // batch_size


def training_batch(data: ImageSet, recipe: DataRecipe, seed: int, step: int) -> Batch:
    """Batch number ``step`` of a stage: a slice of its epoch's permutation, augmented."""
    steps = steps_per_epoch(data, recipe.batch_size)
    epoch, position = divmod(step, steps)
    order = torch.randperm(len(data), generator=_generator(seed, epoch, 0))
    index = order[position * recipe.batch_size : (position + 1) * recipe.batch_size]
    images = augment(data.images[index], recipe, _generator(seed, step, 1))
    return Batch(index, images, data.labels[index])


def augment(images: Tensor, recipe: DataRecipe, generator: torch.Generator) -> Tensor:
    """Flip half of the images and shift each by up to ``recipe.shift`` pixels, filling with 0."""
    count, height, width, _ = images.shape
    if recipe.flip:
        flip = torch.rand(count, generator=generator) < 0.5
        images = torch.where(flip[:, None, None, None], images.flip(2), images)
    if recipe.shift:
        padded = torch.nn.functional.pad(images, (0, 0, *(recipe.shift,) * 4))
        offsets = torch.randint(0, 2 * recipe.shift + 1, (2, count, 1), generator=generator)
        rows = (offsets[0] + torch.arange(height))[:, :, None]
        columns = (offsets[1] + torch.arange(width))[:, None, :]
        images = padded[torch.arange(count)[:, None, None], rows, columns]
    return images


def _generator(seed: int, position: int, purpose: int) -> torch.Generator:
    """A generator of its own for each purpose and position: no stream to save or restore."""
    mixed = (seed * 1_000_003 + position) * 2 + purpose
    return torch.Generator().manual_seed(mixed % 2**63)
