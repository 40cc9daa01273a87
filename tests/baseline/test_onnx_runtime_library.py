"""One version of ONNX Runtime for all devices, checked before it is used."""

import re
from importlib import resources
from pathlib import Path

import pytest

from bitat_deploy.baseline.runtime import ONNX_RUNTIME_VERSION, onnx_runtime_library
from bitat_deploy.errors import BuildError
from bitat_deploy.target import load_target


@pytest.mark.parametrize("architecture", ["aarch64", "x86_64"])
def test_requirements_name_the_same_version(architecture: str) -> None:
    folder = resources.files("bitat_deploy.baseline")
    text = (folder / f"requirements-{architecture}.txt").read_text()
    assert re.findall(r"onnxruntime==(\S+)", text) == [ONNX_RUNTIME_VERSION]


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(BuildError, match=r"ONNX Runtime.* for aarch64 could not be fetched"):
        onnx_runtime_library(load_target("rpi4"))
    assert list((tmp_path / "bitat-deploy" / "runtime").iterdir()) == []
