from pathlib import Path

import pytest

from bitat_deploy.bundle import last_build, remember_last_build
from bitat_deploy.errors import InputError


def test_last_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="no build yet"):
        last_build()
    built = tmp_path / "a bundle"
    built.mkdir()
    remember_last_build(built)
    assert last_build() == built
    built.rmdir()
    with pytest.raises(InputError, match="is gone"):
        last_build()
