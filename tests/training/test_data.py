from dataclasses import replace

import numpy as np
import pytest
import torch

from bitat_deploy.datasets import Dataset
from bitat_deploy.errors import InputError
from bitat_deploy.training.augmentation import augment
from bitat_deploy.training.data import (
    ImageSet,
    split_training,
    targets,
    to_image_set,
    training_batch,
    training_batches,
)
from bitat_deploy.training.recipe_sections import ColorJitter, DataRecipe

RECIPE = DataRecipe(None, 0, None, batch_size=8, flip=True, shift=3)
PLAIN = replace(RECIPE, flip=False, shift=0)
EVERYTHING = replace(
    RECIPE,
    crop=7,
    random_resized_crop=(0.3, 0.9),
    color_jitter=ColorJitter(0.4, 0.4, 0.4),
    random_erasing=0.5,
    mixup=0.4,
)


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


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_crop_is_at_a_random_place() -> None:
    images = drawn_set(60, (6, 8, 3)).images
    result = augment(images, replace(PLAIN, crop=5), seeded())
    assert result.shape == (60, 5, 5, 3)
    seen = set()
    for image, cropped in zip(images, result, strict=True):
        places = [
            (y, x) for y, x in np.ndindex(2, 4)
            if torch.equal(image[y : y + 5, x : x + 5], cropped)
        ]  # fmt: skip
        assert places
        seen |= set(places)
    assert len(seen) == 8
    middle = ImageSet(images, torch.arange(60)).middle(5)
    assert torch.equal(middle.images, images[:, 0:5, 1:6])


def test_a_resized_crop_is_a_part_of_the_image() -> None:
    """On a ramp its values tell which part it is; the whole image gives the image."""
    ramp = torch.arange(0, 200, 10).expand(20, 20)
    images = torch.stack([ramp, ramp.T, ramp], dim=2).to(torch.uint8).expand(50, -1, -1, -1)
    recipe = replace(PLAIN, random_resized_crop=(0.25, 0.5), crop=10)
    result = augment(images, recipe, seeded()).to(torch.float64)
    assert result.shape == (50, 10, 10, 3)
    width = (result[:, 5, -1, 0] - result[:, 5, 0, 0]) / 9  # of one pixel
    height = (result[:, -1, 5, 1] - result[:, 0, 5, 1]) / 9
    share = width * height / 10**2 * 10**2 / 20**2
    assert (share > 0.23).all()
    assert (share < 0.52).all()
    ratio = width / height
    assert ratio.min() < 0.85
    assert ratio.max() > 1.18
    assert ((ratio > 0.72) & (ratio < 1.38)).all()
    flipped = augment(images, replace(recipe, flip=True), seeded())
    assert 10 < int((flipped[:, 5, -1, 0] < flipped[:, 5, 0, 0]).sum()) < 40
    assert (result[:, :, :, 0] != result[:, :, :, 2]).sum() == 0


def test_colours_vary_by_so_much() -> None:
    images = torch.full((200, 2, 2, 3), 100, dtype=torch.uint8)
    images[:, 0] = 60
    images[:, :, :, 2] += 20
    bright = augment(images, replace(PLAIN, color_jitter=ColorJitter(brightness=0.2)), seeded())
    factors = bright[:, 1, 1, 0].to(torch.float64) / 100
    assert factors.min() >= 0.795
    assert factors.max() <= 1.205
    assert factors.max() - factors.min() > 0.3
    grey = augment(images, replace(PLAIN, color_jitter=ColorJitter(saturation=1.0)), seeded())
    spread = grey[:, 1, 1, 2].int() - grey[:, 1, 1, 0].int()
    assert int(spread.min()) <= 2
    assert int(spread.max()) >= 38
    flat = augment(images, replace(PLAIN, color_jitter=ColorJitter(contrast=1.0)), seeded())
    steps = flat[:, 1, 0, 0].int() - flat[:, 0, 0, 0].int()
    assert int(steps.min()) <= 2
    assert int(steps.max()) >= 76
    assert (steps >= 0).all()


def test_a_rectangle_of_some_images_is_erased() -> None:
    images = drawn_set(300, (12, 9, 3)).images
    result = augment(images, replace(PLAIN, random_erasing=0.3), seeded())
    erased = (result == 0).all(dim=3)
    assert torch.equal(result[~erased], images[~erased])
    count = erased.flatten(1).sum(dim=1)
    assert 60 < int((count > 0).sum()) < 120
    for part in erased[count > 0]:
        rows, columns = part.any(dim=1).sum(), part.any(dim=0).sum()
        assert int(part.sum()) == int(rows * columns)
        assert rows * columns <= 0.5 * 12 * 9


def test_mixed_images_have_the_shares_of_two_labels() -> None:
    images = torch.arange(0, 240, 6, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 3, 1)
    data = ImageSet(images, torch.arange(40))
    shares = set()
    for step in range(20):
        batch = training_batch(data, replace(PLAIN, mixup=1.0), 7, step)
        shares.add(batch.share)
        assert batch.other_labels.tolist() == batch.labels.roll(-1).tolist()
        blend = batch.share * batch.labels + (1 - batch.share) * batch.other_labels
        assert (batch.images[:, 0, 0, 0] - 6 * blend).abs().max() <= 0.501
        shared = targets(batch, 40)
        torch.testing.assert_close(shared @ torch.arange(40.0), blend)
        torch.testing.assert_close(shared.sum(dim=1), torch.ones(8))
    assert len(shares) == 20
    plain = training_batch(data, PLAIN, 7, 0)
    assert torch.equal(targets(plain, 40), plain.labels)


def test_parts_of_a_batch_are_those_of_the_whole() -> None:
    data = drawn_set(50, (9, 8, 3))
    for step in (0, 7):
        whole = training_batch(data, EVERYTHING, 7, step)
        assert whole.images.shape == (8, 7, 7, 3)
        for part in (slice(0, 4), slice(4, 8)):
            batch = training_batch(data, EVERYTHING, 7, step, part)
            assert torch.equal(batch.images, whole.images[part])
            assert torch.equal(batch.other_labels, whole.other_labels[part])
            assert batch.share == whole.share
    assert not torch.equal(whole.images, training_batch(data, EVERYTHING, 8, 7).images)


def test_groups_are_held_out_whole() -> None:
    """Six tracks of four frames in each of two classes, whose names begin alike; one of another."""
    names, labels = [], []
    for frame in range(24):
        for label in (0, 1):
            names.append(f"{frame // 4:05}_{frame % 4}.png")
            labels.append(label)
    names.append("00000_0.png")
    labels.append(2)
    pixels = np.arange(49, dtype=np.uint8).reshape(-1, 1, 1, 1)
    dataset = Dataset("drawn", pixels, np.array(labels), ("a", "b", "c"), tuple(names))
    recipe = replace(RECIPE, validation_images=10, group=r"^\d+")
    training, validation = split_training(dataset, recipe)
    assert (len(training), len(validation)) == (37, 12)
    tracks = [
        {(labels[i], names[i][:5]) for i in part.images.flatten().tolist()}
        for part in (training, validation)
    ]
    assert not tracks[0] & tracks[1]
    assert tracks[1] == {(1, "00005"), (0, "00005"), (1, "00004")}
    assert 2 in training.labels.tolist()
    with pytest.raises(InputError, match=r"finds nothing in the file name '00000_0\.png'"):
        split_training(dataset, replace(recipe, group="^x"))
    with pytest.raises(InputError, match="not of drawn"):
        split_training(replace(dataset, files=()), recipe)
