"""The compiler stage: an ONNX file to a shared library, or an object file, for one target.

It also gives a report of each layer and its operator, and the cross compiler that tuning
needs. Names are imported at first use: TVM takes seconds, and ``bench`` needs only the
layer reports.
"""

from typing import TYPE_CHECKING

from bitat_deploy.lazy_face import lazy_face

if TYPE_CHECKING:
    from bitat_deploy.compiler.compile import compile_model
    from bitat_deploy.compiler.cross_compiler import compile_cpp, link_shared
    from bitat_deploy.compiler.layer_report import (
        LOGITS_TOLERANCE,
        CompiledModel,
        LayerReport,
        layer_symbols,
    )
    from bitat_deploy.compiler.lowering import LoweredLayer, lower_layers
    from bitat_deploy.compiler.mixed_module import integer_layers
    from bitat_deploy.compiler.relax_module import tvm_target
else:
    __getattr__ = lazy_face(__name__)

__all__ = [
    "LOGITS_TOLERANCE",
    "CompiledModel",
    "LayerReport",
    "LoweredLayer",
    "compile_cpp",
    "compile_model",
    "integer_layers",
    "layer_symbols",
    "link_shared",
    "lower_layers",
    "tvm_target",
]
