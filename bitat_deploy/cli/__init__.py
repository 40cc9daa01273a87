"""The command line: one module per command."""

from bitat_deploy.cli.main import main

__all__ = ["main"]
