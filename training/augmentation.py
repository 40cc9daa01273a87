"""Images varied for training: cropped, flipped, coloured, partly erased, mixed.

A function of the images and a generator. All images of a batch have draws, also those that this
process does not take, so that parts of a batch are varied as they are in the whole.
"""

import math

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from bitat_deploy.training.recipe_sections import ColorJitter, DataRecipe

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_RATIO = (3 / 4, 4 / 3)  # of a resized crop's width to its height
_ERASED = (0.02, 0.33)  # share of the area that random erasing takes
_ERASED_RATIO = (0.3, 3.3)


def augment(
    images: Tensor,
    recipe: DataRecipe,
    generator: torch.Generator,
    drawn: int | None = None,
    which: Tensor | None = None,
) -> Tensor:
    """Images as ``recipe`` has them varied: uint8 [B, H, W, C] to uint8 [B, H', W', C], on the CPU.

    H' and W' are ``recipe.crop`` where that is given. ``images`` are numbers ``which`` (int64 [B],
    rising) of ``drawn`` images for all of which there is a draw; without, they are all.
    """
    count = len(images) if drawn is None else drawn
    chosen = torch.arange(count) if which is None else which
    flipped = torch.zeros(count, dtype=torch.bool)
    if recipe.flip:
        flipped = torch.rand(count, generator=generator) < 0.5
    if recipe.random_resized_crop is not None:
        boxes = _boxes(images.shape[1:3], recipe.random_resized_crop, count, generator)
        images = _resized(images, boxes[chosen], flipped[chosen], recipe.crop)
    else:
        images = _shifted(images, recipe, flipped, chosen, generator)
    if recipe.color_jitter != ColorJitter():
        images = _jittered(images, recipe.color_jitter, count, chosen, generator)
    if recipe.random_erasing:
        images = _erased(images, recipe.random_erasing, count, chosen, generator)
    return images


def mixed(images: Tensor, others: Tensor, share: float) -> Tensor:
    """``share`` of the images and 1 - ``share`` of others: uint8, of the same shape."""
    blend = images.to(torch.float32).mul_(share).add_(others, alpha=1 - share)
    return blend.round_().to(torch.uint8)


def mixing_share(alpha: float, generator: torch.Generator) -> float:
    """A draw of Beta(alpha, alpha) (mixup, arXiv 1710.09412)."""
    # The share of one of two gamma draws; numpy has them for any generator state that is a number.
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def middle(images: Tensor, crop: int | None) -> Tensor:
    """The middle square of ``crop`` pixels of [N, H, W, C], or all where it is None; a view."""
    if crop is None:
        return images
    top, left = ((size - crop) // 2 for size in images.shape[1:3])
    return images[:, top : top + crop, left : left + crop]


def _shifted(
    images: Tensor, recipe: DataRecipe, flipped: Tensor, which: Tensor, generator: torch.Generator
) -> Tensor:
    """Flipped and, where there is room or a border of zeros, a window at a random place."""
    count, height, width, channels = images.shape
    window = (recipe.crop or height, recipe.crop or width)
    shift = recipe.shift
    rooms = [size + 2 * shift - side for size, side in zip((height, width), window, strict=True)]
    turned = flipped[which]
    if not any(rooms):
        if not turned.any():
            return images
        return torch.where(turned[:, None, None, None], images.flip(2), images)
    offsets = torch.stack(
        [torch.randint(0, room + 1, (len(flipped),), generator=generator) for room in rooms]
    )
    padded = np.zeros((count, height + 2 * shift, width + 2 * shift, channels), np.uint8)
    inner = padded[:, shift : shift + height, shift : shift + width]
    inner[...] = images.numpy()
    inner[turned.numpy()] = images.numpy()[turned.numpy(), :, ::-1]
    # windows[n, y, x] is image n shifted; choosing one for each n copies whole windows.
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, (1, 2))
    rows, columns = offsets[:, which].numpy()
    taken = windows.transpose(0, 1, 2, 4, 5, 3)[np.arange(count), rows, columns]
    return torch.from_numpy(np.ascontiguousarray(taken))


def _boxes(
    size: torch.Size, scale: tuple[float, float], count: int, generator: torch.Generator
) -> Tensor:
    """Parts of images: centre y, x and half height, width in [-1, 1], float32 [count, 4].

    Area and proportion are drawn evenly, the latter in its logarithm (Inception's crops); what
    would not fit into the image is made smaller.
    """
    draws = torch.rand(4, count, generator=generator)
    area = (scale[0] + (scale[1] - scale[0]) * draws[0]) * size[0] * size[1]
    low, high = (math.log(ratio) for ratio in _RATIO)
    ratio = torch.exp(low + (high - low) * draws[1])
    sides = torch.stack([(area / ratio).sqrt() / size[0], (area * ratio).sqrt() / size[1]])
    half = sides / sides.amax(dim=0).clamp(min=1)
    centre = (1 - half) * (2 * draws[2:] - 1)
    return torch.cat([centre, half]).T


def _resized(images: Tensor, boxes: Tensor, flipped: Tensor, crop: int | None) -> Tensor:
    """The boxes, bilinear."""
    height, width = (crop or side for side in images.shape[1:3])
    transform = torch.zeros(len(images), 2, 3)
    transform[:, 0, 0] = torch.where(flipped, -boxes[:, 3], boxes[:, 3])
    transform[:, 1, 1] = boxes[:, 2]
    transform[:, 0, 2], transform[:, 1, 2] = boxes[:, 1], boxes[:, 0]
    pixels = _planes(images)
    grid = functional.affine_grid(
        transform, [len(images), images.shape[3], height, width], align_corners=False
    )
    sampled = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return _bytes(sampled)


def _jittered(
    images: Tensor, jitter: ColorJitter, count: int, which: Tensor, generator: torch.Generator
) -> Tensor:
    """Brightness, contrast, saturation, in this order, each times 1 - j to 1 + j."""
    factors = 2 * torch.rand(3, count, generator=generator)[:, which, None, None, None] - 1
    pixels = _planes(images)
    if jitter.brightness:
        pixels.mul_(1 + jitter.brightness * factors[0]).clamp_(0, 255)
    if jitter.contrast:
        mean = _grey(pixels).mean(dim=(1, 2, 3), keepdim=True)
        _blended(pixels, mean, jitter.contrast * factors[1]).clamp_(0, 255)
    if jitter.saturation:
        _blended(pixels, _grey(pixels), jitter.saturation * factors[2])
    return _bytes(pixels)


def _blended(pixels: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    """pixels + factors (pixels - others), in place."""
    return pixels.mul_(1 + factors).sub_(others * factors)


def _grey(pixels: Tensor) -> Tensor:
    """[B, C, H, W] to [B, 1, H, W]."""
    channels = pixels.shape[1]
    shares = _LUMA if channels == len(_LUMA) else (1 / channels,) * channels
    grey = pixels[:, :1] * shares[0]
    for channel, share in enumerate(shares[1:], start=1):
        grey.add_(pixels[:, channel : channel + 1], alpha=share)
    return grey


def _erased(
    images: Tensor, probability: float, count: int, which: Tensor, generator: torch.Generator
) -> Tensor:
    """A rectangle of some of them set to 0 (random erasing, arXiv 1708.04896)."""
    size = images.shape[1:3]
    draws = torch.rand(5, count, generator=generator)[:, which]
    area = (_ERASED[0] + (_ERASED[1] - _ERASED[0]) * draws[0]) * size[0] * size[1]
    low, high = (math.log(ratio) for ratio in _ERASED_RATIO)
    ratio = torch.exp(low + (high - low) * draws[1])
    chosen = draws[4] < probability
    spans = []
    for axis, side in enumerate(((area * ratio).sqrt(), (area / ratio).sqrt())):
        length = side.round().clamp(1, size[axis])
        first = (draws[2 + axis] * (size[axis] - length + 1)).floor()
        spans += [first, first + length]
    images = images.clone()
    for number, bounds in zip(
        chosen.nonzero()[:, 0], torch.stack(spans, 1)[chosen].long(), strict=True
    ):
        top, bottom, left, right = bounds.tolist()
        images[number, top:bottom, left:right] = 0
    return images


def _planes(images: Tensor) -> Tensor:
    """Float32 [B, C, H, W]: with colours side by side what follows takes twice as long."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def _bytes(pixels: Tensor) -> Tensor:
    """Such pixels, rounded in place, as uint8 [B, H, W, C]."""
    return pixels.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
