"""Methods, quantizers and architectures by name. Each registers itself in its own file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from bitat_deploy.errors import InputError

if TYPE_CHECKING:
    from bitat_deploy.training.methods import Method
    from bitat_deploy.training.networks.architecture import Architecture
    from bitat_deploy.training.quantizers import Quantizer

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries by name. Every module of ``package`` is imported before the first look-up."""

    def __init__(self, what: str, package: str) -> None:
        self._what = what
        self._package = package
        self._entries: dict[str, T] = {}
        self._complete = False

    def add(self, name: str, entry: T) -> None:
        """Register ``entry``; a module of the package calls this when it is imported."""
        assert name not in self._entries, f"two entries are called '{name}'"
        self._entries[name] = entry

    def __getitem__(self, name: str) -> T:
        """The entry of that name. Raises InputError naming those that exist."""
        if name not in list(self):
            raise InputError(f"{self._what} must be one of {', '.join(self)}, not '{name}'")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """Names, sorted."""
        if not self._complete:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._complete = True
        return iter(sorted(self._entries))


METHODS: Registry[type[Method]] = Registry("method", "bitat_deploy.training.methods")
QUANTIZERS: Registry[Quantizer] = Registry("quantizer", "bitat_deploy.training.quantizers")
ARCHITECTURES: Registry[Architecture] = Registry("architecture", "bitat_deploy.training.networks")
