"""The runner of a static target: one program with the network in it."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from bitat_deploy.bundle.runtime_libraries import include_directory
from bitat_deploy.compiler.cross_compiler import compile_cpp
from bitat_deploy.target import Target

# Of TVM's virtual machine and its model.so; runner/static/ has what takes their place.
_OF_TVM = ("relax_network.cc", "model_file.cc")


def link_static_runner(
    network: Path,
    output: Path,
    target: Target,
    status: Callable[[str], None] = lambda message: None,
) -> None:
    """Link the runner with ``network``, an object file of the compiler's.

    ``status`` is told what takes long. Raises BuildError.
    """
    status(
        f"linking the runner for {target.architecture} "
        "(a minute or two the first time, then most of it is cached)"
    )
    with resources.as_file(resources.files("bitat_deploy.runner")) as folder:
        sources = [path for path in sorted(folder.rglob("*.cc")) if path.name not in _OF_TVM]
        compile_cpp([*sources, network], output, target, include_directories=[include_directory()])
