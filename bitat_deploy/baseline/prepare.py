"""Everything that a baseline needs on the host, before a device is asked."""

from collections.abc import Callable

from bitat_deploy.baseline.baseline import Baseline, Twin
from bitat_deploy.baseline.float32 import float32_twin
from bitat_deploy.baseline.int8 import int8_twin
from bitat_deploy.baseline.program import baseline_program
from bitat_deploy.baseline.runtime import ONNX_RUNTIME_VERSION, onnx_runtime_library
from bitat_deploy.bundle import MODEL_ONNX, Bundle
from bitat_deploy.onnx_format import read_network


def prepare_baseline(
    bundle: Bundle, status: Callable[[str], None] = lambda message: None
) -> Baseline:
    """Twins of ``bundle``'s network and what runs them on its target.

    ``status`` is told what is being done. Raises BuildError, UnsupportedOperatorError.
    """
    target = bundle.manifest.target
    status(f"fetching ONNX Runtime for {target.architecture}")
    library = onnx_runtime_library(target)
    program = baseline_program(target, status)
    status("making float32 and int8 twins of the network")
    float32 = float32_twin(read_network(bundle.directory / MODEL_ONNX))
    twins = {"float32": float32, "int8": int8_twin(float32)}
    return Baseline(
        runtime=f"ONNX Runtime {ONNX_RUNTIME_VERSION}",
        library=library,
        program=program,
        twins=tuple(Twin(name, twin.SerializeToString()) for name, twin in twins.items()),
    )
