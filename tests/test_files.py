"""Files appear whole or not at all, and nobody has to clear away what killed programs left."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitat_deploy.files import check_room, scratch_folder, whole_file, whole_folder

ROOT = Path(__file__).parents[1]


def aged(folder: Path) -> Path:
    """The folder as if it had been made a while ago."""
    os.utime(folder, (time.time() - 3600,) * 2)
    return folder


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole_file(path) as file:
        file.write(b"old")
    with pytest.raises(KeyError), whole_file(path) as file:
        file.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with whole_folder(path, ".new-") as folder:
        (folder / "old").touch()
    with pytest.raises(KeyError), whole_folder(path, ".new-") as folder:
        (folder / "new").touch()
        raise KeyError
    assert list(path.iterdir()) == [path / "old"]
    with whole_folder(path, ".new-") as folder:
        (folder / "new").touch()
    assert list(path.iterdir()) == [path / "new"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_program_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    code = (
        "import os; from pathlib import Path; from bitat_deploy.files import scratch_folder\n"
        f"with scratch_folder(Path({str(tmp_path)!r}), '.new-') as folder:\n"
        "    (folder / 'large').write_bytes(bytes(9)); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    others = [tmp_path / name for name in (".newer", ".other-1", "kept")]
    for other in others:
        other.mkdir()
        aged(other)
    with scratch_folder(tmp_path, ".new-"):
        assert left.exists()  # it could be of a program that has just begun
    aged(left)
    with scratch_folder(tmp_path, ".new-") as folder:
        assert not left.exists() and folder.exists()
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_what_another_program_works_in_stays(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, ".new-") as first:
        aged(first)
        with scratch_folder(tmp_path, ".new-"):
            pass
        assert first.exists()
    (tmp_path / "far").mkdir()
    (tmp_path / ".new-link").symlink_to(tmp_path / "far")
    with scratch_folder(tmp_path, ".new-"):
        pass
    assert (tmp_path / "far").exists() and (tmp_path / ".new-link").is_symlink()


def test_room(tmp_path: Path) -> None:
    check_room(tmp_path, 1 << 20)
    assert not list(tmp_path.iterdir())
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
    try:
        with pytest.raises(OSError, match=str(tmp_path)):
            check_room(tmp_path, 1 << 21)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
