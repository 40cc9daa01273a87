"""Everything that a baseline needs on the host, before a device is asked."""

from collections.abc import Callable, Sequence
from pathlib import Path

import onnx

from bitat_deploy.baseline.baseline import IN_FILE, Baseline, Twin
from bitat_deploy.baseline.float32 import float32_twin
from bitat_deploy.baseline.int8 import int8_twin
from bitat_deploy.baseline.program import baseline_program
from bitat_deploy.baseline.runtime import (
    ONNX_RUNTIME_VERSION,
    check_onnx_runtime,
    onnx_runtime_library,
)
from bitat_deploy.baseline.source import channels_first, is_quantized, without_quantization
from bitat_deploy.baseline.trained_twin import trained_twins
from bitat_deploy.bundle import MODEL_ONNX, SOURCE_ONNX, Bundle
from bitat_deploy.compiler import LOGITS_TOLERANCE
from bitat_deploy.errors import BitatDeployError, InputError, UnsupportedOperatorError
from bitat_deploy.onnx_format import read_network
from bitat_deploy.plain_text import foreign_text


def prepare_baseline(
    bundle: Bundle,
    status: Callable[[str], None] = lambda message: None,
    runs: Sequence[Path] = (),
) -> Baseline:
    """Twins of ``bundle``'s network and what runs them on its target.

    ``status`` is told what is being done; ``runs`` are folders of training runs of twins, whose
    accuracy is shown. What is not possible is refused first. Raises InputError, BuildError,
    UnsupportedOperatorError.
    """
    target, model = bundle.manifest.target, bundle.manifest.model
    if model.batch > 1:
        raise InputError("the baseline takes one image at a time; build without --batch for it")
    check_onnx_runtime(target)
    trained = trained_twins(runs, model.metadata.get("dataset", ""))
    status("making float32 and int8 twins of the network")
    twins = []
    for name, (twin, in_file) in _twins(bundle).items():
        run = trained.get(name)
        told = IN_FILE if in_file else run.run if run else ""
        top1 = run.top1 if run and not in_file else None
        twins.append(Twin(name, twin.SerializeToString(), told, top1))
    status(f"fetching ONNX Runtime for {target.architecture}")
    library = onnx_runtime_library(target)
    return Baseline(
        runtime=f"ONNX Runtime {ONNX_RUNTIME_VERSION}",
        library=library,
        program=baseline_program(target, status),
        twins=tuple(twins),
    )


def _twins(bundle: Bundle) -> dict[str, tuple[onnx.ModelProto, bool]]:
    """By arithmetic: the twin, and whether it is the user's own file."""
    has_source = SOURCE_ONNX in {file.path for file in bundle.manifest.files}
    if LOGITS_TOLERANCE in bundle.manifest.model.metadata and not has_source:
        raise InputError(
            f"the bundle '{bundle.directory}' lacks '{SOURCE_ONNX}', as those of earlier versions "
            "do; build it again for --baseline"
        )
    try:
        if not has_source:
            float32 = float32_twin(read_network(bundle.directory / MODEL_ONNX))
            return {"float32": (float32, False), "int8": (int8_twin(float32), False)}
        given = channels_first(onnx.load(bundle.directory / SOURCE_ONNX))
        if is_quantized(given):
            return {"float32": (without_quantization(given), False), "int8": (given, True)}
        return {"float32": (given, True), "int8": (int8_twin(given), False)}
    except BitatDeployError:
        raise
    except Exception as error:  # of ONNX or ONNX Runtime, which have no common base
        raise UnsupportedOperatorError(
            f"there is no baseline for the network '{bundle.manifest.model.name}': "
            f"{foreign_text(str(error)) or type(error).__name__}; leave out --baseline"
        ) from error
