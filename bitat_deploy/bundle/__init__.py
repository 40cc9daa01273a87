"""The bundle stage: a compiled network with everything a device needs to run it."""

from bitat_deploy.bundle.bundle import Bundle, read_bundle, write_bundle
from bitat_deploy.bundle.last_build import last_build, remember_last_build
from bitat_deploy.bundle.manifest import BundleFile, Manifest, ModelIdentity

__all__ = [
    "Bundle",
    "BundleFile",
    "Manifest",
    "ModelIdentity",
    "last_build",
    "read_bundle",
    "remember_last_build",
    "write_bundle",
]
