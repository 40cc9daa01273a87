"""How this package was installed, and so how to install what else it can use."""

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PACKAGE = "bitat-deploy"
_EXTRA = re.compile(r"""\bextra\s*==\s*(['"])(?P<name>[\w-]+)\1""")


def install_extra(extra: str) -> str:
    """The command that installs an extra of ours, as this installation was made.

    A package index need not have this package, or may have another one of its name. So a folder
    or address is named where the package came from one (PEP 610), and otherwise what the extra
    consists of.
    """
    # In a checkout, the folder that setuptools leaves there is found, too; it tells no origin.
    distribution = min(metadata.distributions(name=PACKAGE), key=lambda one: not _origin(one))
    installer = (distribution.read_text("INSTALLER") or "").strip()
    command = "uv pip install" if installer == "uv" else "pip install"
    origin = _origin(distribution)
    address = str(origin.get("url", ""))
    if "dir_info" in origin:
        folder = Path(unquote(urlsplit(address).path))
        if (folder / "pyproject.toml").is_file():
            editable = "-e " if origin["dir_info"].get("editable") else ""
            return f"{command} {editable}'{folder}[{extra}]'"
    elif "vcs_info" in origin:
        revision = origin["vcs_info"].get("commit_id", "")
        address = f"{origin['vcs_info'].get('vcs', 'git')}+{address}@{revision}"
        return f"{command} '{PACKAGE}[{extra}] @ {address}'"
    elif address.startswith("https://"):
        return f"{command} '{PACKAGE}[{extra}] @ {address}'"
    return " ".join([command, *(f"'{name}'" for name in _packages(distribution, extra))])


def _origin(distribution: metadata.Distribution) -> dict[str, Any]:
    """What ``direct_url.json`` says; nothing where the package came from an index."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return origin if isinstance(origin, dict) else {}


def _packages(distribution: metadata.Distribution, extra: str) -> list[str]:
    """The requirements of an extra, as in ``torch>=2.6``."""
    found = []
    for requirement in distribution.requires or ():
        what, _, marker = requirement.partition(";")
        match = _EXTRA.search(marker)
        if match is not None and match["name"] == extra:
            found.append(what.replace(" ", ""))
    return found
