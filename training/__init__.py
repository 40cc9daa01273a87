"""Training: from a YAML recipe to a checkpoint whose network is integer from end to end.

Names are imported at first use: torch may not be installed, and ``tune_process`` is called before
it is imported.
"""

from typing import TYPE_CHECKING

from bitat_deploy.lazy_face import lazy_face

if TYPE_CHECKING:
    from bitat_deploy.training.answers import right_answers
    from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
    from bitat_deploy.training.data import (
        ImageSet,
        images_to_tensor,
        split_training,
        to_image_set,
    )
    from bitat_deploy.training.distributed import joined_workers
    from bitat_deploy.training.document_recipes import recipe_keys
    from bitat_deploy.training.drawn import drawn_network, seconds_per_image
    from bitat_deploy.training.errors import TrainingDivergedError
    from bitat_deploy.training.folder_plan import BITS, TrainingPlan, plan_training
    from bitat_deploy.training.integer_network import integer_logits, load_checkpoint_network
    from bitat_deploy.training.listing import recipe_table
    from bitat_deploy.training.networks import QuantizedNetwork
    from bitat_deploy.training.post_training import (
        PostTrainingRecipe,
        QuantizeOptions,
        choose_bits,
        layer_sensitivities,
        quantization_images,
        quantize_checkpoint,
        quantize_run,
    )
    from bitat_deploy.training.process import tune_process
    from bitat_deploy.training.progress import (
        ConsoleProgress,
        ReportedProgress,
        TrainingProgress,
    )
    from bitat_deploy.training.recipe import Recipe, load_recipe, recipe_file, recipe_from_mapping
    from bitat_deploy.training.registry import ARCHITECTURES
    from bitat_deploy.training.report import environment
    from bitat_deploy.training.run import CHECKPOINT_NAME, REPORT_NAME, train
    from bitat_deploy.training.twin import finished_network
else:
    __getattr__ = lazy_face(__name__)

__all__ = [
    "ARCHITECTURES",
    "BITS",
    "CHECKPOINT_NAME",
    "REPORT_NAME",
    "Checkpoint",
    "ConsoleProgress",
    "ImageSet",
    "PostTrainingRecipe",
    "QuantizeOptions",
    "QuantizedNetwork",
    "Recipe",
    "ReportedProgress",
    "TrainingDivergedError",
    "TrainingPlan",
    "TrainingProgress",
    "choose_bits",
    "drawn_network",
    "environment",
    "finished_network",
    "images_to_tensor",
    "integer_logits",
    "joined_workers",
    "layer_sensitivities",
    "load_checkpoint",
    "load_checkpoint_network",
    "load_recipe",
    "plan_training",
    "quantization_images",
    "quantize_checkpoint",
    "quantize_run",
    "recipe_file",
    "recipe_from_mapping",
    "recipe_keys",
    "recipe_table",
    "right_answers",
    "seconds_per_image",
    "split_training",
    "to_image_set",
    "train",
    "tune_process",
]
