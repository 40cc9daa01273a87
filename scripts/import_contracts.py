"""The contract "faces" of import-linter; scripts/lint lays this file beside the packages."""

from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class Faces(Contract):
    """Modules of a package in ``container`` are imported by no module outside this package.

    Other modules import names that the package's ``__init__.py`` has in ``__all__``.
    """

    type_name = "faces"
    container = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the imports that reach past a face."""
        wrong = [
            f"{importer} imports {module} (line {detail['line_number']})"
            for package in sorted(graph.find_children(str(self.container)))
            for module in sorted(graph.find_descendants(package))
            for importer in sorted(graph.find_modules_that_directly_import(module))
            if not f"{importer}.".startswith(f"{package}.")
            for detail in graph.get_import_details(importer=importer, imported=module)
            if not _is_exported(package, module, detail["line_contents"])
        ]
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one import a line."""
        for line in check.metadata["wrong"]:
            output.print_error(line)
        output.print_error("Import from the package, and export the name in its __init__.py.")


def _is_exported(package: str, module: str, line: str) -> bool:
    """Whether what looks like a module is an exported function that has the module's name."""
    name = module.removeprefix(f"{package}.")
    face = Path(*package.split("."), "__init__.py").read_text("utf-8")
    return line.startswith(f"from {package} import ") and f'"{name}"' in face
