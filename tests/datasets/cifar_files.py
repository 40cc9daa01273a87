"""Small CIFAR data sets in each format, and class folders, of random images."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from bitat_deploy.datasets.cifar import CIFAR_10, CIFAR_100, Variant

VARIANTS = {variant.name: variant for variant in (CIFAR_10, CIFAR_100)}
COUNT = 7  # images of each batch file


def images_and_labels(file: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 32, 32, 3] and labels [N], always the same for one file name."""
    random = np.random.default_rng(list(file.encode()))
    labels = random.integers(0, classes, COUNT)
    return random.integers(0, 256, (COUNT, 32, 32, 3), np.uint8), labels


def write_cifar(folder: Path, variant: Variant, kind: str) -> Path:
    """All batch files of ``kind`` "python" or "binary", in a subfolder as upstream has them."""
    inner = folder / f"{variant.name}-{kind}"
    inner.mkdir(parents=True)
    for files in (variant.python_files if kind == "python" else variant.binary_files).values():
        for file in files:
            stem = file.removesuffix(".bin")
            images, labels = images_and_labels(stem, len(variant.class_names))
            planes = images.transpose(0, 3, 1, 2).reshape(COUNT, 3072)
            if kind == "python":
                document = {b"data": planes, variant.labels_key.encode(): labels.tolist()}
                (inner / file).write_bytes(pickle.dumps(document, protocol=2))
            else:
                head = np.zeros((COUNT, variant.label_bytes), np.uint8)
                head[:, -1] = labels
                (inner / file).write_bytes(np.concatenate([head, planes], axis=1).tobytes())
    return folder


def write_class_folders(
    folder: Path,
    classes: tuple[str, ...] = ("cat", "dog", "owl"),
    size: tuple[int, int] = (32, 32),
    test: str = "test",
) -> Path:
    """Two training images and one test image of each class, PNG, all different."""
    random = np.random.default_rng(3)
    for split, count in (("train", 2), (test, 1)):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")
    return folder


def archive(folder: Path, file: Path) -> Path:
    """``folder``'s content as a tar archive, compressed as the name of ``file`` says."""
    mode = {".xz": "w:xz", ".gz": "w:gz", ".tar": "w:"}[file.suffix]
    with tarfile.open(file, mode) as tar:
        tar.add(folder, arcname=".")
    return file


def add_to_archive(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
