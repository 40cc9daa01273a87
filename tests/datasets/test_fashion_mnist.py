import functools
import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.datasets import fashion_mnist, load_dataset
from bitat_deploy.errors import BuildError, InputError
from tests.datasets.idx_files import idx_bytes, write_folder


@pytest.mark.parametrize("compress", [True, False])
def test_reads_a_folder_of_idx_files(tmp_path: Path, compress: bool) -> None:
    folder = write_folder(tmp_path, train=30, test=20, compress=compress)
    train = load_dataset("fashion-mnist", "train", folder)
    test = load_dataset("fashion-mnist", "test", folder)
    assert train.images.shape == (30, 28, 28, 1)
    assert test.images.dtype == np.uint8
    assert test.labels.shape == (20,)
    assert len(train.class_names) == 10


def test_reads_the_real_images() -> None:
    test = load_dataset("fashion-mnist", "test")
    assert test.images.shape == (10000, 28, 28, 1)
    assert np.bincount(test.labels).tolist() == [1000] * 10


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(InputError, match="fashion-mnist"):
        load_dataset("imagenet", "test")
    with pytest.raises(InputError, match="train or test"):
        load_dataset("fashion-mnist", "validation")


LABELS = np.zeros(20, np.uint8)
DAMAGES = {
    "truncated": ("t10k-images-idx3-ubyte", lambda content: content[:-5], "damaged"),
    "no header": ("t10k-labels-idx1-ubyte", lambda content: content[:6], "truncated"),
    "magic": ("t10k-images-idx3-ubyte", lambda content: b"\1" + content[1:], "not the expected"),
    "count": ("t10k-labels-idx1-ubyte", lambda _: idx_bytes(LABELS[:19]), "20 images .* 19 labels"),
    "size": (
        "t10k-images-idx3-ubyte",
        lambda _: idx_bytes(np.zeros((20, 14, 14), np.uint8)),
        "14x14 pixels",
    ),
    "label": ("t10k-labels-idx1-ubyte", lambda _: idx_bytes(LABELS + 10), "labels above 9"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_told_apart(tmp_path: Path, damage: str) -> None:
    name, change, complaint = DAMAGES[damage]
    folder = write_folder(tmp_path, train=10, test=20, compress=False)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(InputError, match=complaint):
        load_dataset("fashion-mnist", "test", folder)


def test_missing_folder_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        load_dataset("fashion-mnist", "test", tmp_path / "nowhere")
    with pytest.raises(InputError, match="neither t10k-images"):
        load_dataset("fashion-mnist", "test", tmp_path)


def test_cut_gzip_file(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, train=10, test=20)
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="truncated or not a gzip"):
        load_dataset("fashion-mnist", "test", folder)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served over HTTP as the public address; cache and system folder are empty."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{listening.server_port}/"
        monkeypatch.setattr(fashion_mnist, "DOWNLOAD_ADDRESS", address)
        monkeypatch.setattr(fashion_mnist, "DEBIAN_DIRECTORY", tmp_path / "none")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield folder
        listening.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_downloads_once_into_the_cache(server: Path, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 2)
    served = {
        "t10k-images-idx3-ubyte": idx_bytes(np.zeros((20, 28, 28), np.uint8)),
        "t10k-labels-idx1-ubyte": idx_bytes(labels),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, content in served.items():
            (server / f"{name}.gz").write_bytes(gzip.compress(content))
            patch.setitem(fashion_mnist.SHA256, name, _sha256(content))
        first = load_dataset("fashion-mnist", "test")
        for name in served:
            (server / f"{name}.gz").unlink()
        second = load_dataset("fashion-mnist", "test")
    assert first.labels.tolist() == second.labels.tolist() == labels.tolist()
    cached = tmp_path / "cache" / "bitat-deploy" / "datasets" / "fashion-mnist"
    assert sorted(path.name for path in cached.iterdir()) == [f"{name}.gz" for name in served]


def test_a_download_with_a_wrong_checksum_is_not_kept(server: Path, tmp_path: Path) -> None:
    content = idx_bytes(np.zeros((20, 28, 28), np.uint8))
    (server / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(BuildError, match="wrong checksum"):
        load_dataset("fashion-mnist", "test")
    assert not list((tmp_path / "cache").rglob("*.gz"))


def test_a_failed_download_names_the_remedies(server: Path) -> None:
    with pytest.raises(BuildError, match=r"dataset-fashion-mnist.*--data"):
        load_dataset("fashion-mnist", "test")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
