"""The face of a package whose modules take seconds to import."""

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path


def lazy_face(package: str) -> Callable[[str], object]:
    """The ``__getattr__`` of ``package`` that imports each of its names at their first use.

    The names and their modules are those that its ``__init__.py`` imports for type checkers. None
    may be called like a module of the package: importing that module would hide it.
    """
    face = sys.modules[package]

    @cache
    def modules() -> dict[str, str]:
        imports = ast.walk(ast.parse(Path(str(face.__file__)).read_text("utf-8")))
        return {
            alias.name: node.module
            for node in imports
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}.")
            for alias in node.names
            if node.module
        }

    def import_name(name: str) -> object:
        if name not in modules():
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(import_module(modules()[name]), name)
        setattr(face, name, value)
        return value

    return import_name
