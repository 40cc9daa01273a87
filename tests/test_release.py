"""What a release says of itself agrees."""

from importlib import metadata
from pathlib import Path

import yaml

from bitat_deploy import __version__

ROOT = Path(__file__).parents[1]


def test_version() -> None:
    assert metadata.version("bitat-deploy") == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
