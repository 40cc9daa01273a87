"""How extras are advised, by what pip and uv leave of an installation."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bitat_deploy.installation import install_extra

LISTED = "pip install 'torch>=2.6' 'matplotlib>=3.9'"
REQUIRES = """Metadata-Version: 2.4
Name: bitat-deploy
Version: 0.1.0
Requires-Dist: numpy>=1.26
Requires-Dist: torch>=2.6; extra == "train"
Requires-Dist: matplotlib >=3.9 ; extra == 'train'
Requires-Dist: pytest>=8; extra == "dev"
"""


def installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: Any, installer: str = "pip"
) -> None:
    folder = tmp_path / "bitat_deploy-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(REQUIRES)
    (folder / "INSTALLER").write_text(f"{installer}\n")
    if origin is not None:
        text = origin if isinstance(origin, str) else json.dumps(origin)
        (folder / "direct_url.json").write_text(text)
    left = tmp_path / "bitat_deploy.egg-info"  # by setuptools, in a checkout
    left.mkdir()
    (left / "PKG-INFO").write_text(REQUIRES)
    found = [metadata.Distribution.at(path) for path in (left, folder)]
    monkeypatch.setattr(metadata, "distributions", lambda name: found)


@pytest.mark.parametrize("origin", [None, "damaged", "[]", {"url": "file:///gone", "dir_info": {}}])
def test_without_an_address_the_packages_are_named(
    origin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No index is asked for a package of our name: it may not be there, or be another's."""
    installed(tmp_path, monkeypatch, origin)
    assert install_extra("train") == LISTED


def test_from_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = {"url": "file:///tmp/bitat_deploy-0.1.0-py3-none-any.whl", "archive_info": {}}
    installed(tmp_path, monkeypatch, url, "uv")
    assert install_extra("train") == f"uv {LISTED}"


@pytest.mark.parametrize(("editable", "option"), [(True, "-e "), (False, "")])
def test_from_a_folder(
    editable: bool, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a folder"
    source.mkdir()
    (source / "pyproject.toml").touch()
    origin = {"url": source.as_uri(), "dir_info": {"editable": editable}}
    installed(tmp_path, monkeypatch, origin)
    assert install_extra("train") == f"pip install {option}'{source}[train]'"


def test_from_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    installed(tmp_path, monkeypatch, origin)
    assert install_extra("dev") == "pip install 'bitat-deploy[dev] @ git+https://host/x.git@abc'"


def test_this_installation() -> None:
    assert install_extra("train").endswith("[train]'")
