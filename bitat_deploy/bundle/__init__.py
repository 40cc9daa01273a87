"""The bundle stage: a compiled network with everything that a device needs to run it."""

from bitat_deploy.bundle.bundle import Bundle, read_bundle, write_bundle
from bitat_deploy.bundle.device_library import build_program, native_sources, runner_folder
from bitat_deploy.bundle.last_build import last_build, remember_last_build
from bitat_deploy.bundle.manifest import BundleFile, Manifest, ModelIdentity
from bitat_deploy.bundle.native_program import native_program

__all__ = [
    "Bundle",
    "BundleFile",
    "Manifest",
    "ModelIdentity",
    "build_program",
    "last_build",
    "native_program",
    "native_sources",
    "read_bundle",
    "remember_last_build",
    "runner_folder",
    "write_bundle",
]
