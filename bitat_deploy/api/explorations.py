"""Which network for a board, pictures and a budget: explored, and the best one built."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bitat_deploy.api.bundles import build
from bitat_deploy.api.networks import export
from bitat_deploy.api.training_runs import prepare_torch
from bitat_deploy.bundle import Bundle
from bitat_deploy.device import Connection
from bitat_deploy.device import connect as connect_to
from bitat_deploy.errors import InputError
from bitat_deploy.installation import install_extra
from bitat_deploy.progress import Progress, silent
from bitat_deploy.report import html_page, markdown_page, write_file

if TYPE_CHECKING:
    from bitat_deploy.exploration import Exploration, ExploreOptions

DOCUMENT, PAGE, MARKDOWN = "report.json", "report.html", "report.md"
RECOMMENDED = "recommended"


@dataclass(frozen=True, eq=False)
class Explored:
    """What an exploration left in ``folder``: its report, and the recommended network.

    ``document`` is report.json, ``sentence`` the recommendation. ``recommended`` holds recipe.yaml,
    checkpoint.pt, model.onnx and bundle/.
    """

    folder: Path
    document: dict[str, Any]
    sentence: str
    bundle: Bundle

    @property
    def recommended(self) -> Path:
        """The folder of the recommended network."""
        return self.folder / RECOMMENDED


def explore(
    options: "ExploreOptions",
    *,
    command: str = "",
    connect: Callable[[str], Connection] = connect_to,
    progress: Progress = silent,
) -> Explored:
    """Find the best network for pictures, a device and a budget; see ``ExploreOptions``.

    The same call goes on where a stopped one was. ``command`` is told in the report;
    ``connect`` opens the connection to a host. Raises
    InputError for bad input, where torch or Optuna is not installed, and for a budget that nothing
    meets; BuildError; OSError.
    """
    prepare_torch("exploring")
    if importlib.util.find_spec("optuna") is None:
        raise InputError(f"exploring needs Optuna; install it with: {install_extra('train')}")
    from bitat_deploy.exploration import (
        exploration_document,
        exploration_report,
        recommendation,
    )
    from bitat_deploy.exploration import explore as run

    found = run(options, progress, connect)
    folder = options.output
    bundle = _keep_recommended(found, folder / RECOMMENDED, progress)
    document = exploration_document(found, command)
    report = exploration_report(document)
    write_file(json.dumps(document, indent=1) + "\n", folder / DOCUMENT)
    write_file(html_page(report), folder / PAGE)
    write_file(markdown_page(report), folder / MARKDOWN)
    return Explored(folder, document, recommendation(document), bundle)


def _keep_recommended(found: "Exploration", folder: Path, progress: Progress) -> Bundle:
    """Recipe, checkpoint, ONNX file and bundle of the recommended network, in ``folder``."""
    row = found.chosen.front[-1]
    progress(f"building {row.candidate.name}", 0, 0)
    folder.mkdir(exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    shutil.copyfile(found.checkpoint(row), checkpoint)
    write_file(yaml.safe_dump(found.recipe(row), sort_keys=False), folder / "recipe.yaml")
    model = folder / "model.onnx"
    export(checkpoint, model)
    return build(model, found.setting.target, folder / "bundle", progress=progress)
