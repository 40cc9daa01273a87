"""The first convolution of a user's network, as the device computes it: on bytes of pictures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.errors import InputError
from bitat_deploy.network import Preprocessing
from bitat_deploy.training.bitat.convolution import padding_of


class BlackBorderConv2d(nn.Conv2d):
    """Takes the place of the convolution of the image: pads with black pixels.

    ``black`` [C] is what black is in the images that the network is given. Zeros there, as
    convolutions pad, are the mean colour: the device pads the bytes of the picture, with 0.
    """

    black: Tensor

    def __init__(self, convolution: nn.Conv2d, black: Tensor) -> None:
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,  # type: ignore[arg-type]
            convolution.stride,  # type: ignore[arg-type]
            convolution.padding,  # type: ignore[arg-type]
            convolution.dilation,  # type: ignore[arg-type]
            convolution.groups,
            convolution.bias is not None,
            convolution.padding_mode,
        )
        self.weight = convolution.weight
        self.bias = convolution.bias
        self.register_buffer("black", black.reshape(1, -1, 1, 1).to(convolution.weight))

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] to [N, outputs, H', W']."""
        if torch.any(self.black):
            left, right, top, bottom = padding_of(self)
            lifted = functional.pad(input - self.black, (left, right, top, bottom))
            padded = lifted + self.black
            return functional.conv2d(
                padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
            )
        return super().forward(input)


def black_of(preprocessing: Preprocessing, channels: int) -> Tensor:
    """What a black pixel becomes, float32 [channels]."""
    return _pixel(preprocessing, 0, channels)


def check_pixels(batches: Sequence[Tensor], preprocessing: Preprocessing) -> None:
    """Raise InputError where images [N, C, H, W] cannot have been made of pictures that way."""
    channels = batches[0].shape[1]
    preprocessing.check((*batches[0].shape[2:], channels))
    ends = torch.stack([_pixel(preprocessing, value, channels) for value in (0, 255)])
    low, high = ends.amin(dim=0), ends.amax(dim=0)
    slack = 1e-3 * (high - low)
    for images in batches:
        values = images.detach().cpu().float().transpose(0, 1).flatten(1)
        least, most = values.amin(dim=1), values.amax(dim=1)
        if (least < low - slack).any() or (most > high + slack).any():
            raise InputError(
                f"the images in data go from {float(least.min()):.3g} to {float(most.max()):.3g}, "
                f"but pixels become {float(low.min()):.3g} to {float(high.max()):.3g} "
                f"({preprocessing.arithmetic}): say how they were made, as in "
                "preprocessing=Preprocessing(scale=1/255, mean=(0.485, 0.456, 0.406), "
                "std=(0.229, 0.224, 0.225)), or give exports=False if the model is not for a device"
            )


def _pixel(preprocessing: Preprocessing, value: int, channels: int) -> Tensor:
    mean, std = (torch.tensor(values) for values in (preprocessing.mean, preprocessing.std))
    return ((value * preprocessing.scale - mean) / std).expand(channels).clone()
