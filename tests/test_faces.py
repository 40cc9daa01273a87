"""Packages' faces, the names that their ``__init__.py`` exports."""

import importlib
import pkgutil

import pytest

import bitat_deploy
from bitat_deploy.lazy_face import lazy_face

PACKAGES = [
    f"bitat_deploy.{package.name}"
    for package in pkgutil.iter_modules(bitat_deploy.__path__)
    if package.ispkg
]
LAZY = [
    f"bitat_deploy.{name}"
    for name in ("api", "baseline", "compiler", "cycle_model", "exploration", "training", "tuning")
]


@pytest.mark.parametrize("package", ["bitat_deploy", *PACKAGES, "bitat_deploy.training"])
def test_exported_names_are_there(package: str) -> None:
    face = importlib.import_module(package)
    for name in getattr(face, "__all__", ()):
        assert getattr(face, name) is not None


@pytest.mark.parametrize("package", ["bitat_deploy", *LAZY])
def test_no_module_hides_a_lazy_name(package: str) -> None:
    face = importlib.import_module(package)
    modules = {module.name for module in pkgutil.iter_modules(face.__path__)}
    assert face.__all__
    assert not modules & set(face.__all__)


def test_a_name_that_is_not_exported_is_unknown() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from bitat_deploy.compiler import nothing")
    with pytest.raises(AttributeError, match=r"'bitat_deploy\.compiler' has no attribute 'lazy'"):
        lazy_face("bitat_deploy.compiler")("lazy")
