"""From an ONNX file to a bundle: compile, add the runner and runtime, write."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits, run_bounded
from bitat_deploy.bundle import build_cache
from bitat_deploy.bundle.bundle import (
    DEVICE_LIBRARY,
    DEVICE_MODULE,
    LIBRARY_FOLDER,
    MODEL_DESCRIPTION,
    MODEL_LIBRARY,
    MODEL_ONNX,
    NETWORK_OBJECT,
    NOTICES,
    RUNNER,
    SOURCE_ONNX,
    Bundle,
    check_output,
    describe_files,
    file_sha256,
    write_bundle,
)
from bitat_deploy.bundle.device_library import (
    device_library,
    runner_folder,
    runner_program,
    static_runner,
)
from bitat_deploy.bundle.manifest import SCHEMA_VERSION, Manifest, ModelIdentity
from bitat_deploy.bundle.notices import notices
from bitat_deploy.bundle.runtime_libraries import runtime_libraries
from bitat_deploy.compiler import CompiledModel
from bitat_deploy.files import scratch_folder
from bitat_deploy.network import NOTHING, Supplement
from bitat_deploy.onnx_format import data_file, is_ours
from bitat_deploy.paths import cache_directory
from bitat_deploy.plain_text import as_file_name
from bitat_deploy.target import Target

_VERSIONS = ("bitat-deploy", "apache-tvm", "apache-tvm-ffi", "ziglang")


def build_bundle(
    model: Path,
    target: Target,
    output: Path | None = None,
    status: Callable[[str], None] = lambda message: None,
    *,
    use_cache: bool = True,
    supplement: Supplement = NOTHING,
    batch: int = 1,
    limits: Limits = DEFAULT_LIMITS,
) -> Bundle:
    """Compile the ONNX file ``model`` for ``target`` and write a bundle to the folder ``output``.

    The network takes ``batch`` images at once. Without ``output`` the bundle goes to the cache.
    With ``use_cache`` a bundle that was built earlier from the same input is copied. ``status``
    gets a line at each step. ``supplement`` is what the user says of the network. One that was not
    exported by bitat-deploy is compiled in a child process within ``limits``. Raises InputError,
    UnsupportedOperatorError, BuildError.
    """
    if output is not None:
        check_output(output)  # before the work, not after it
    with scratch_folder() as workspace:
        key = _cache_key(model, target, supplement, batch) if use_cache else None
        cached = build_cache.fetch(key, workspace) if key else None
        if cached is None:
            manifest, contents = _compile(
                model, target, workspace, supplement, batch, limits, status
            )
        else:
            status("copying the bundle that was built earlier")
            manifest = cached.manifest
            contents = {file.path: cached.directory / file.path for file in manifest.files}
        if output is None:
            name = as_file_name(f"{manifest.model.name}-{target.name}")
            output = cache_directory() / "builds" / name
        bundle = write_bundle(output, manifest, contents)
        # Unless the model changed while it was compiled.
        if key and cached is None and key == _cache_key(model, target, supplement, batch):
            build_cache.store(key, bundle)
        return bundle


def _cache_key(model: Path, target: Target, supplement: Supplement, batch: int) -> str | None:
    """Checksum of all input of a build; None if the model cannot be read: compiling says why.

    It must include every option that changes what is compiled.
    """
    try:
        options: dict[str, Any] = {"batch": batch, "supplement": asdict(supplement)}
        if data_file(model).is_file():
            options["data"] = file_sha256(data_file(model))
        return build_cache.build_key(file_sha256(model), target, options)
    except OSError:
        return None


def _compile(
    model: Path,
    target: Target,
    workspace: Path,
    supplement: Supplement,
    batch: int,
    limits: Limits,
    status: Callable[[str], None],
) -> tuple[Manifest, dict[str, Path]]:
    """The manifest, and the bundle's files: path in the bundle to the file's present path."""
    status(f"compiling the network for {target.name} ({target.cpu})")
    name = NETWORK_OBJECT if target.is_static else MODEL_LIBRARY
    network = workspace / name
    arguments = (model, target, network, supplement, batch)
    if is_ours(model):
        compiled = _compile_model(*arguments)
    else:
        compiled = run_bounded(f"compiling '{model}'", limits, _compile_model, *arguments)
    contents = {name: network, MODEL_ONNX: compiled.onnx, NOTICES: workspace / NOTICES}
    if compiled.source is not None:
        contents[SOURCE_ONNX] = compiled.source
    if not target.is_static:
        contents[MODEL_DESCRIPTION] = workspace / MODEL_DESCRIPTION
        contents[MODEL_DESCRIPTION].write_text(compiled.description, encoding="utf-8")
        contents[DEVICE_MODULE] = _copied_module(workspace)
    contents |= _programs(network, target, status)
    contents[NOTICES].write_text(notices(target), encoding="utf-8")
    status("writing the bundle")
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        versions={package: metadata.version(package) for package in _VERSIONS},
        model=ModelIdentity(
            name=compiled.name,
            sha256=file_sha256(compiled.onnx),
            input_shape=compiled.input_shape,
            class_names=compiled.class_names,
            metadata=compiled.metadata,
            batch=batch,
            preprocessing=compiled.preprocessing,
        ),
        target=target,
        layers=compiled.layers,
        files=describe_files(contents),
    )
    return manifest, contents


def _compile_model(*arguments: Any) -> CompiledModel:
    # Not above: importing TVM takes seconds. A bundle from the cache does not need it, and a
    # network from elsewhere only in the other process.
    from bitat_deploy.compiler import compile_model

    return compile_model(*arguments)


def _copied_module(workspace: Path) -> Path:
    with runner_folder() as folder:
        return Path(shutil.copy(folder / "library" / DEVICE_MODULE, workspace))


def _programs(network: Path, target: Target, status: Callable[[str], None]) -> dict[str, Path]:
    """The files that run the compiled ``network``: path in the bundle to the present path."""
    if target.is_static:
        runner = network.with_name(RUNNER)
        static_runner(network, runner, target, status)
        return {RUNNER: runner}
    status(f"fetching TVM's runtime libraries for {target.architecture}")
    libraries = {path.name: path for path in runtime_libraries(target)}
    libraries[DEVICE_LIBRARY] = device_library(target, status)
    in_bundle = {f"{LIBRARY_FOLDER}/{name}": path for name, path in libraries.items()}
    return {RUNNER: runner_program(target, status), **in_bundle}
