"""The bundle stage: a compiled network with everything a device needs to run it.

A bundle is a folder: its manifest, the network, the runner and the libraries that both need. This
package builds, writes, reads and remembers bundles, and builds the programs that go with them.
"""

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.bundle.bundle import (
    LIBRARY_FOLDER,
    MODEL_ONNX,
    RUNNER,
    SOURCE_ONNX,
    Bundle,
    file_sha256,
    read_bundle,
    write_bundle,
)
from bitat_deploy.bundle.device_library import build_program, native_sources, runner_folder
from bitat_deploy.bundle.last_build import last_build, remember_last_build
from bitat_deploy.bundle.manifest import MAXIMUM_BATCH, BundleFile, Manifest, ModelIdentity
from bitat_deploy.bundle.native_program import native_program
from bitat_deploy.bundle.runtime_libraries import include_directory, runtime_libraries
from bitat_deploy.bundle.sdk import write_sdk
from bitat_deploy.bundle.wheel_libraries import WheelLibraries

__all__ = [
    "LIBRARY_FOLDER",
    "MAXIMUM_BATCH",
    "MODEL_ONNX",
    "RUNNER",
    "SOURCE_ONNX",
    "Bundle",
    "BundleFile",
    "Manifest",
    "ModelIdentity",
    "WheelLibraries",
    "build_bundle",
    "build_program",
    "file_sha256",
    "include_directory",
    "last_build",
    "native_program",
    "native_sources",
    "read_bundle",
    "remember_last_build",
    "runner_folder",
    "runtime_libraries",
    "write_bundle",
    "write_sdk",
]
