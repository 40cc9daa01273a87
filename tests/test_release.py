"""The version is the same everywhere, and the wheel is complete."""

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import yaml

from bitat_deploy import __version__

ROOT = Path(__file__).parents[1]

# What the wheel contains: folders of the repository, and where they are installed.
FOLDERS = {
    "bitat_deploy": "bitat_deploy",
    "training": "bitat_deploy/training",
    "targets": "bitat_deploy/targets",
}


def test_version() -> None:
    assert metadata.version("bitat-deploy") == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_wheel_has_the_files_of_the_source(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tmp_path)
    expected = set()
    for folder, installed in FOLDERS.items():
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=lambda *_: ["__pycache__"])
        for path in (tmp_path / folder).rglob("*"):
            if path.is_file():
                inner = path.relative_to(tmp_path / folder).as_posix()
                expected.add(f"{installed}/{inner}")
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([sys.executable, "-m", *command, tmp_path, tmp_path], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_checkout_has_no_links() -> None:
    own = [path for path in ROOT.iterdir() if path.name not in ("build", ".git", ".venv")]
    assert not [path for top in own for path in (top, *top.rglob("*")) if path.is_symlink()]
