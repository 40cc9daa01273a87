"""Bundles are written completely or not at all, and every change is detected."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bitat_deploy.bundle import read_bundle, write_bundle
from bitat_deploy.bundle.bundle import Bundle
from bitat_deploy.errors import BundleError, InputError


@pytest.fixture
def copied(host_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(host_bundle, tmp_path / "copied"))


def write_again(bundle: Bundle, directory: Path) -> Bundle:
    contents = {file.path: bundle.directory / file.path for file in bundle.manifest.files}
    return write_bundle(directory, bundle.manifest, contents)


def test_what_is_written_is_read(host_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(host_bundle)
    again = write_again(bundle, tmp_path / "again")
    assert read_bundle(again.directory) == again
    assert (again.manifest, again.identity) == (bundle.manifest, bundle.identity)
    assert again.directory.joinpath("runner").stat().st_mode & 0o111
    assert {file.path for file in again.pushed_files} == {
        "model.so",
        "model.txt",
        "runner",
        "lib/libbitat_deploy.so",
        "lib/libtvm_ffi.so",
        "lib/libtvm_runtime.so",
    }


def test_a_bundle_is_replaced_whole(host_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(host_bundle)
    write_again(bundle, tmp_path / "twice")
    (tmp_path / "twice" / "left-over").touch()
    write_again(bundle, tmp_path / "twice")
    assert not (tmp_path / "twice" / "left-over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["twice"]


def test_what_is_no_bundle_is_left_alone(host_bundle: Path, tmp_path: Path) -> None:
    precious = tmp_path / "home" / "thesis.tex"
    precious.parent.mkdir()
    precious.touch()
    with pytest.raises(InputError, match="not a bundle"):
        write_again(read_bundle(host_bundle), precious.parent)
    assert precious.exists()


def test_failure_leaves_nothing(host_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(host_bundle)
    contents = {file.path: host_bundle / file.path for file in bundle.manifest.files}
    contents["runner"] = tmp_path / "not-there"
    with pytest.raises(FileNotFoundError):
        write_bundle(tmp_path / "new", bundle.manifest, contents)
    assert list(tmp_path.iterdir()) == []


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a bundle"):
        read_bundle(tmp_path)


def test_identities_are_the_files_sha256(host_bundle: Path) -> None:
    for file in read_bundle(host_bundle).manifest.files:
        content = (host_bundle / file.path).read_bytes()
        assert (file.sha256, file.size) == (hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize("change", [lambda last: last ^ 1, lambda last: None])
def test_a_changed_file(copied: Path, change) -> None:
    """By one bit, or by its last byte."""
    content = (copied / "model.so").read_bytes()
    last = change(content[-1])
    (copied / "model.so").write_bytes(content[:-1] + (b"" if last is None else bytes([last])))
    with pytest.raises(BundleError, match=r"changed after it was built: 'model\.so'"):
        read_bundle(copied)


def test_a_missing_file(copied: Path) -> None:
    (copied / "lib" / "libtvm_ffi.so").unlink()
    with pytest.raises(BundleError, match=r"lacks 'lib/libtvm_ffi\.so'"):
        read_bundle(copied)


def test_symbolic_link(copied: Path) -> None:
    (copied / "lib").rename(copied.parent / "lib")
    (copied / "lib").symlink_to(copied.parent / "lib")
    with pytest.raises(BundleError, match="symbolic link"):
        read_bundle(copied)


def test_symbolic_link_in_the_place_of_the_manifest(copied: Path) -> None:
    (copied / "manifest.json").rename(copied.parent / "manifest.json")
    (copied / "manifest.json").symlink_to(copied.parent / "manifest.json")
    with pytest.raises(BundleError, match="symbolic link"):
        read_bundle(copied)


def test_huge_manifest(copied: Path) -> None:
    with (copied / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="too large"):
        read_bundle(copied)


def test_deep_manifest(copied: Path) -> None:
    (copied / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(BundleError, match="too deep"):
        read_bundle(copied)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("/etc/passwd", "outside"), ("../runner", "outside"), ("lib/../../x", "outside")],
)
def test_path_outside(copied: Path, path: str, sentence: str) -> None:
    edit(copied, lambda document: document["files"][0].update(path=path))
    with pytest.raises(BundleError, match=sentence):
        read_bundle(copied)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda document: document.pop("layers"), "manifest has missing keys: layers"),
        (lambda document: document["target"].update(color=1), "manifest.target has unknown keys"),
        (lambda document: document["files"][0].update(size="1"), r"manifest.files\[0\].size must"),
        (lambda document: document["model"]["metadata"].update(a=1), "metadata.a must be of type"),
        (lambda document: document["model"].update(input_shape=[1, 2]), "must be a list of 3"),
        (lambda document: document["files"].pop(), "does not list"),
        (lambda document: document["files"].append(document["files"][0]), "twice"),
        (lambda document: document.update(schema_version=99), "schema version 99"),
        (lambda document: document["files"][0].update(size=1 << 40), "more than 2 GiB"),
        (lambda document: document["files"][0].update(size=-1), "the size of"),
        (lambda document: document["files"][0].update(path="a\nb"), "invalid file name"),
        (lambda document: document["files"][0].update(path="-rf"), "invalid file name"),
        (lambda document: document["files"][0].update(path="images"), "invalid file name"),
        (lambda document: document["model"].update(input_shape=[28, 28, 0]), "input_shape"),
        (lambda document: document["model"].update(sha256="0" * 64), "describes another model"),
        (lambda document: document["model"].update(sha256="0" * 63), "model.sha256"),
        (lambda document: document["model"].update(batch=0), "model.batch"),
        (lambda document: document["target"].update(cores=0), "manifest.target.cores must be"),
        (lambda document: document["target"].update(vector_bytes=0), "target.vector_bytes must be"),
        (lambda document: document["layers"][0].update(macs=-1), r"layers\[0\]"),
        (lambda document: document["model"].update(name="a\x1b[2J"), "not text in '.*name'"),
        (lambda document: document["model"].update(name="../../x"), "model.name': it must be"),
        (lambda document: document["target"].update(name="../../x"), "target.name must be"),
    ],
)
def test_malformed_manifest(copied: Path, change, sentence: str) -> None:
    edit(copied, change)
    with pytest.raises(BundleError, match=sentence):
        read_bundle(copied)


def edit(bundle: Path, change) -> None:
    manifest = bundle / "manifest.json"
    document = json.loads(manifest.read_text())
    change(document)
    manifest.write_text(json.dumps(document))


def test_arm_programs_start_on_pages_of_any_size(rpi4_bundle: Path, rpi_32bit_bundle: Path) -> None:
    """ARM kernels have pages of 4, 16 or 64 KiB, those of a Raspberry Pi 5 of 16."""
    pages = 1 << 16
    for bundle, count in ((rpi4_bundle, 5), (rpi_32bit_bundle, 1)):
        segments = [segment for path in bundle.rglob("*") for segment in _loaded(path)]
        assert len({path for path, *_ in segments}) >= count
        for path, offset, address, align in segments:
            assert align >= pages and (address - offset) % pages == 0, path


def _loaded(path: Path) -> list[tuple[Path, int, int, int]]:
    """Of an ELF file: offset, address and alignment of each segment that is mapped."""
    if not path.is_file() or not path.read_bytes().startswith(b"\x7fELF"):
        return []
    command = ["readelf", "--program-headers", "--wide", path]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = [line.split() for line in shown.splitlines() if line.split()[:1] == ["LOAD"]]
    return [(path, int(line[1], 16), int(line[2], 16), int(line[-1], 16)) for line in words]
