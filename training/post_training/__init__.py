"""BiTAT as a post-training method: a trained network's weights to levels, on images alone [R].

From the bottom to the top, each layer is aimed at what the reference's layer gives, from inputs
that the layers below have changed already (``stream_target``), and its levels are chosen by descent
on the output error (:mod:`bitat_deploy.training.rounding`). Tags as in
:mod:`bitat_deploy.training.bitat`: [P] layer by layer, against the quantized layers below; [R] the
target, the descent over levels, what happens to batch normalisations.
"""

from bitat_deploy.training.post_training.bit_choice import choose_bits
from bitat_deploy.training.post_training.layerwise import (
    GAMMAS,
    TARGETS,
    LayerRecord,
    PostTrainingRecipe,
    quantize_layers,
)
from bitat_deploy.training.post_training.quantize import (
    QuantizeOptions,
    quantize_checkpoint,
    reference_network,
)
from bitat_deploy.training.post_training.run import quantization_images, quantize_run
from bitat_deploy.training.post_training.sensitivity import layer_sensitivities
from bitat_deploy.training.post_training.stage import PostTraining
from bitat_deploy.training.post_training.stream_target import (
    Moments,
    MomentSums,
    ridge_of,
    stream_target,
)

__all__ = [
    "GAMMAS",
    "TARGETS",
    "LayerRecord",
    "MomentSums",
    "Moments",
    "PostTraining",
    "PostTrainingRecipe",
    "QuantizeOptions",
    "choose_bits",
    "layer_sensitivities",
    "quantization_images",
    "quantize_checkpoint",
    "quantize_layers",
    "quantize_run",
    "reference_network",
    "ridge_of",
    "stream_target",
]
