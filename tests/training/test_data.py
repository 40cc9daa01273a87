from dataclasses import replace

import numpy as np
import pytest
import torch

from bitat_deploy.datasets import Dataset
from bitat_deploy.training.data import (
    ImageSet,
    augment,
    to_image_set,
    training_batch,
    training_batches,
)
from bitat_deploy.training.recipe_sections import DataRecipe

RECIPE = DataRecipe(None, 0, None, batch_size=8, flip=True, shift=3)


def drawn_set(count: int, shape: tuple[int, int, int]) -> ImageSet:
    images = torch.randint(1, 256, (count, *shape), dtype=torch.uint8)
    return ImageSet(images, torch.arange(count))


@pytest.mark.parametrize("shape", [(6, 9, 1), (8, 8, 3)])
def test_each_image_is_flipped_and_shifted_by_its_own_draw(shape: tuple[int, int, int]) -> None:
    images = drawn_set(40, shape).images.numpy()
    result = augment(torch.from_numpy(images), RECIPE, torch.Generator().manual_seed(3)).numpy()
    pad = ((3, 3), (3, 3), (0, 0))
    seen = set()
    for image, changed in zip(images, result, strict=True):
        for flip in (False, True):
            padded = np.pad(image[:, ::-1] if flip else image, pad)
            for y, x in np.ndindex(7, 7):
                if (padded[y : y + shape[0], x : x + shape[1]] == changed).all():
                    seen.add((flip, y, x))
                    break
    assert {flip for flip, _, _ in seen} == {False, True}
    assert len(seen) > 20
    assert {y for _, y, _ in seen} == {x for _, _, x in seen} == set(range(7))


def test_augmentation_can_be_left_out() -> None:
    images = drawn_set(40, (5, 5, 3)).images
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(augment(images, replace(RECIPE, flip=False, shift=0), generator), images)
    flipped = augment(images, replace(RECIPE, shift=0), generator)
    same = (flipped == images).flatten(1).all(dim=1)
    assert 5 < int(same.sum()) < 35
    assert torch.equal(flipped[~same], images[~same].flip(2))


def test_prepared_batches_are_those_made_one_by_one() -> None:
    data = drawn_set(50, (4, 4, 3))  # 6 steps an epoch
    prepared = list(training_batches(data, RECIPE, 7, 3, 14))
    assert len(prepared) == 11
    for step, batch in enumerate(prepared, start=3):
        expected = training_batch(data, RECIPE, 7, step)
        assert torch.equal(batch.images, expected.images)
        assert torch.equal(batch.labels, expected.labels)
    epoch = torch.cat([training_batch(data, RECIPE, 7, step).index for step in range(6, 12)])
    assert len(set(epoch.tolist())) == 48
    assert not list(training_batches(data, RECIPE, 7, 5, 5))


def test_an_error_in_the_thread_is_raised() -> None:
    data = ImageSet(torch.zeros(16, 4, 4, 1), torch.zeros(3))
    with pytest.raises(IndexError):
        list(training_batches(data, RECIPE, 7, 0, 2))


def test_images_in_memory_are_not_copied_unless_read_only() -> None:
    pixels = np.zeros((4, 2, 2, 1), np.uint8)
    dataset = Dataset("drawn", pixels, np.zeros(4, np.int64), ("a",))
    assert to_image_set(dataset, None).images.data_ptr() == pixels.ctypes.data
    pixels.flags.writeable = False
    assert to_image_set(dataset, 3).images.shape == (3, 2, 2, 1)
