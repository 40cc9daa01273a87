"""From an ONNX file to a bundle: compile, add runner and runtime, write."""

import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from bitat_deploy.bundle.bundle import (
    LIBRARY_FOLDER,
    MODEL_LIBRARY,
    MODEL_ONNX,
    RUNNER,
    Bundle,
    check_output,
    describe_files,
    file_sha256,
    folder_name,
    write_bundle,
)
from bitat_deploy.bundle.manifest import SCHEMA_VERSION, Manifest, ModelIdentity
from bitat_deploy.bundle.runner_program import runner_program
from bitat_deploy.bundle.runtime_libraries import runtime_libraries
from bitat_deploy.bundle.static_runner import link_static_runner
from bitat_deploy.compiler.compile import compile_model
from bitat_deploy.paths import cache_directory
from bitat_deploy.target import Target

_VERSIONS = ("bitat-deploy", "apache-tvm", "apache-tvm-ffi", "ziglang")


def build_bundle(
    model: Path,
    target: Target,
    output: Path | None = None,
    status: Callable[[str], None] = lambda message: None,
) -> Bundle:
    """Compile the ONNX file ``model`` for ``target`` and write a bundle to the folder ``output``.

    Without ``output`` the bundle goes to the cache. ``status`` is told what is being done.
    Raises InputError, UnsupportedOperatorError, BuildError.
    """
    if output is not None:
        check_output(output)  # before the work rather than after it
    with tempfile.TemporaryDirectory(prefix="bitat-deploy-") as workspace:
        network = Path(workspace) / ("network.o" if target.is_static else MODEL_LIBRARY)
        status(f"compiling the network for {target.name} ({target.cpu})")
        compiled = compile_model(model, target, network)
        contents = {MODEL_ONNX: model} | _programs(network, target, status)
        status("writing the bundle")
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            versions={package: metadata.version(package) for package in _VERSIONS},
            model=ModelIdentity(
                name=compiled.name,
                sha256=file_sha256(model),
                input_shape=compiled.input_shape,
                class_names=compiled.class_names,
                metadata=compiled.metadata,
            ),
            target=target,
            layers=compiled.layers,
            files=describe_files(contents),
        )
        if output is None:
            name = folder_name(f"{compiled.name}-{target.name}")
            output = cache_directory() / "builds" / name
        return write_bundle(output, manifest, contents)


def _programs(network: Path, target: Target, status: Callable[[str], None]) -> dict[str, Path]:
    """What runs the compiled ``network``: path in the bundle to the file it is now."""
    if target.is_static:
        runner = network.with_name(RUNNER)
        link_static_runner(network, runner, target, status)
        return {RUNNER: runner}
    status(f"fetching TVM's runtime libraries for {target.architecture}")
    libraries = {f"{LIBRARY_FOLDER}/{path.name}": path for path in runtime_libraries(target)}
    return {MODEL_LIBRARY: network, RUNNER: runner_program(target, status), **libraries}
