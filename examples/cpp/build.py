"""Compile classify.cc for the processor that a bundle was built for: build.py BUNDLE FOLDER.

FOLDER then holds all that the device needs: the program, the network, TVM's two runtime
libraries and the licences of what is in them. Copy it there, and run it:

    python examples/cpp/build.py path/to/bundle app
    scp -r app images pi@device:
    ssh pi@device app/classify images
"""

import shutil
import sys
from pathlib import Path

from bitat_deploy.bundle import read_bundle
from bitat_deploy.bundle.bundle import NOTICES
from bitat_deploy.bundle.runtime_libraries import include_directory
from bitat_deploy.compiler.cross_compiler import compile_cpp
from bitat_deploy.errors import BitatDeployError

SOURCE = Path(__file__).with_name("classify.cc")


def build(bundle_folder: Path, folder: Path) -> None:
    """Fill ``folder``. Raises BundleError, InputError, BuildError."""
    bundle = read_bundle(bundle_folder)
    for file in bundle.manifest.files:
        if file.path in ("model.so", NOTICES) or file.path.startswith("lib/"):
            copy = folder / file.path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.directory / file.path, copy)
    compile_cpp(
        [SOURCE],
        folder / "classify",
        bundle.manifest.target,
        include_directories=[include_directory()],  # of tvm-ffi, as pip installed it
        libraries=sorted((folder / "lib").iterdir()),
        rpath="$ORIGIN/lib",
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: build.py BUNDLE FOLDER")
    try:
        build(Path(sys.argv[1]), Path(sys.argv[2]))
    except BitatDeployError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
