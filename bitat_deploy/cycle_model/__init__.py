"""The static cycle model of 64-bit ARM kernels and networks, and how far it was off on real boards.

Names are imported at first use, as the compiler's are.
"""

from typing import TYPE_CHECKING

from bitat_deploy.lazy_face import lazy_face

if TYPE_CHECKING:
    from bitat_deploy.cycle_model.accuracy import Comparison, ModelError, comparisons, model_error
    from bitat_deploy.cycle_model.block_models import (
        BlockModel,
        block_model,
        model_name,
        short_queue_model,
    )
    from bitat_deploy.cycle_model.kernel_cost import KernelCost, modelled_cycles
    from bitat_deploy.cycle_model.llvm_mca import find_llvm_mca, llvm_mca_version
    from bitat_deploy.cycle_model.network_cost import (
        ModelledLayer,
        ModelledNetwork,
        modelled_network,
    )
else:
    __getattr__ = lazy_face(__name__)

__all__ = [
    "BlockModel",
    "Comparison",
    "KernelCost",
    "ModelError",
    "ModelledLayer",
    "ModelledNetwork",
    "block_model",
    "comparisons",
    "find_llvm_mca",
    "llvm_mca_version",
    "model_error",
    "model_name",
    "modelled_cycles",
    "modelled_network",
    "short_queue_model",
]
