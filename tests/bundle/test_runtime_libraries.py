"""TVM's runtime libraries come from the cache, if their checksums are right."""

import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from bitat_deploy.bundle.runtime_libraries import runtime_libraries
from bitat_deploy.errors import BuildError
from bitat_deploy.target import load_target


def test_cached_libraries_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intact = runtime_libraries(load_target("rpi4"))[0].parent
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    offline(monkeypatch)
    copied = tmp_path / "bitat-deploy" / "runtime" / intact.name
    copied.mkdir(parents=True)
    for library in intact.iterdir():
        (copied / library.name).write_bytes(library.read_bytes())
    assert all(path.parent == copied for path in runtime_libraries(load_target("rpi4")))

    with (copied / "libtvm_ffi.so").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BuildError, match=r"could not be fetched.*network"):
        runtime_libraries(load_target("rpi4"))
    assert list(copied.parent.iterdir()) == [copied]


def test_a_mirror_that_builds_wheels_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    offline(monkeypatch)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    versions = [(name, metadata.version(name)) for name in ("apache-tvm", "apache-tvm-ffi")]
    for name, version in versions:
        underscored = name.replace("-", "_")
        wheel = f"{underscored}-{version}-cp311-cp311-manylinux_2_28_aarch64.whl"
        with zipfile.ZipFile(tmp_path / wheel, "w") as archive:
            archive.writestr(
                f"{underscored}-{version}.dist-info/METADATA",
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            )
    with pytest.raises(BuildError, match=r"sha256 differs.*a mirror.*from PyPI itself"):
        runtime_libraries(load_target("rpi4"))


def test_host_takes_the_installed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    assert all("site-packages" in str(path) for path in runtime_libraries(load_target("host")))


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
