"""Sign of activations, as one native operation where it can be."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bitat_deploy.training.native.layout import dense_layout
from bitat_deploy.training.native.library import kernels_for, pointer


def sign_of_activation(values: Tensor) -> Tensor:
    """Binarize activations: {-1, +1} forward, +1 at 0; triangular slope 2 - 2|x| backward.

    The slope is Bi-Real Net's (Liu et al., ECCV 2018, eq. 6).
    """
    result: Tensor = _SignOfActivation.apply(values)
    return result


class _SignOfActivation(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.save_for_backward(values)
        library = kernels_for(values)
        if library is None or dense_layout(values) is None:
            return (values >= 0).to(values.dtype).mul_(2).sub_(1)
        result = torch.empty_like(values)
        library.sign_values(pointer(values), values.numel(), pointer(result))
        return result

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (values,) = context.saved_tensors
        library, layout = kernels_for(values), dense_layout(values)
        if library is None or layout is None or gradient.dtype != values.dtype:
            slope = values.abs().neg_().add_(1).clamp_(min=0).mul_(2)
            return slope.mul_(gradient)
        gradient = gradient.contiguous(memory_format=layout)
        result = torch.empty_like(values)
        library.sign_values_backward(
            pointer(gradient), pointer(values), values.numel(), pointer(result)
        )
        return result
