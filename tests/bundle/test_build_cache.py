"""An unchanged build is copied from the cache; any other is compiled."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from bitat_deploy.bundle import Bundle, build_cache, read_bundle
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.bundle.bundle import MANIFEST, MODEL_LIBRARY
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.target import load_target
from tests.drawn_networks import draw_network

HOST = load_target("host")
COPIED = "copying the bundle that was built earlier"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small network, compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    return build_bundle(_write(folder / "model.onnx", 1), HOST, folder / "bundle", use_cache=False)


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache of bundles."""
    monkeypatch.setattr(build_cache, "_entries", lambda: tmp_path / "entries")
    return tmp_path / "entries"


def _write(path: Path, seed: int) -> Path:
    onnx.save(to_onnx(draw_network(seed, (6, 6, 1), (9, 1), ())), path)
    return path


def _build(model: Path, output: Path, use_cache: bool = True) -> tuple[Bundle, bool]:
    """The bundle, and whether it was copied."""
    said: list[str] = []
    bundle = build_bundle(model, HOST, output, said.append, use_cache=use_cache)
    assert read_bundle(bundle.directory).identity == bundle.identity
    return bundle, COPIED in said


def _contents(bundle: Bundle) -> dict[str, bytes]:
    files = bundle.manifest.files
    return {file.path: (bundle.directory / file.path).read_bytes() for file in files}


def test_second_build_is_a_copy(entries: Path, tmp_path: Path) -> None:
    model = _write(tmp_path / "model.onnx", seed=2)
    first, copied = _build(model, tmp_path / "first")
    assert not copied
    second, copied = _build(model, tmp_path / "second")
    assert copied
    assert (second.manifest, _contents(second)) == (first.manifest, _contents(first))
    assert os.access(second.directory / "runner", os.X_OK)
    assert not _build(model, tmp_path / "third", use_cache=False)[1]
    _write(model, seed=3)
    assert not _build(model, tmp_path / "first")[1]


def test_copy_needs_no_tvm(tmp_path: Path) -> None:
    model = _write(tmp_path / "model.onnx", seed=4)
    build_bundle(model, HOST, tmp_path / "first")
    program = (
        "import sys; from bitat_deploy.cli.main import cli; "
        "cli.main(sys.argv[1:], standalone_mode=False); "
        "assert 'tvm' not in sys.modules, 'imported'"
    )
    arguments = ["build", str(model), "-o", str(tmp_path / "second")]
    command = [sys.executable, "-c", program, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert COPIED in finished.stderr


def test_key_knows_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        build_cache.build_key("0" * 64, HOST, {}),
        build_cache.build_key("1" * 64, HOST, {}),
        build_cache.build_key("0" * 64, replace(HOST, cpu="haswell"), {}),
        build_cache.build_key("0" * 64, load_target("rpi4"), {}),
        build_cache.build_key("0" * 64, HOST, {"batch": 2}),
    ]
    assert build_cache.build_key("0" * 64, HOST, {}) == keys[0]
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    records = tmp_path / "bitat-deploy" / "records" / "host.jsonl"
    records.parent.mkdir(parents=True)
    records.write_text("{}\n")
    keys.append(build_cache.build_key("0" * 64, HOST, {}))
    monkeypatch.setattr(build_cache, "_STAGES", ("operators",))  # other code
    keys.append(build_cache.build_key("0" * 64, HOST, {}))
    assert len(set(keys)) == len(keys)


def test_key_knows_the_code_that_stages_import() -> None:
    """All but what has no part in a bundle's content."""
    package = Path(build_cache.__file__).parents[1]
    sources = [path for stage in build_cache._STAGES for path in (package / stage).rglob("*.py")]
    imports = {
        name
        for source in sources
        for name in re.findall(r"^ *from bitat_deploy\.(\w+)", source.read_text(), re.MULTILINE)
    }
    modules = {Path(name).parts[0].removesuffix(".py") for name in build_cache._MODULES}
    others = {"bounded_process", "errors", "files", "lazy_face", "paths", "plain_values"}
    assert imports <= {*build_cache._STAGES, *modules, *others}


@pytest.mark.parametrize("damage", ["changed", "truncated", "removed", "manifest"])
def test_damaged_entries_are_replaced(
    compiled: Bundle, entries: Path, tmp_path: Path, damage: str
) -> None:
    build_cache.store("key", compiled)
    library = entries / "key" / MODEL_LIBRARY
    content = library.read_bytes()
    if damage == "changed":
        library.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncated":
        library.write_bytes(content[: len(content) // 2])
    elif damage == "removed":
        library.unlink()
    else:
        (entries / "key" / MANIFEST).write_text("{")
    assert build_cache.fetch("key", tmp_path) is None
    build_cache.store("key", compiled)
    fetched = build_cache.fetch("key", tmp_path / "again")
    assert fetched is not None and _contents(fetched) == _contents(compiled)


def test_a_cache_that_cannot_be_written_is_no_failure(compiled: Bundle, entries: Path) -> None:
    entries.write_text("in the way")
    build_cache.store("key", compiled)
    assert entries.is_file()


def test_entries_unused_for_longest_are_dropped(
    compiled: Bundle, entries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_cache, "MAXIMUM_ENTRIES", 2)
    for number, key in enumerate("ab"):
        build_cache.store(key, compiled)
        os.utime(entries / key, (number, number))
    assert build_cache.fetch("a", tmp_path)  # which makes 'b' the older one
    build_cache.store("c", compiled)
    assert {path.name for path in entries.iterdir()} == {"a", "c"}


def test_stores_at_once(compiled: Bundle, entries: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from bitat_deploy.bundle import build_cache as c; "
        "from bitat_deploy.bundle import read_bundle; c._entries = lambda: Path(sys.argv[1]); "
        "bundle = read_bundle(Path(sys.argv[2])); [c.store('key', bundle) for _ in range(20)]"
    )
    command = [sys.executable, "-c", program, str(entries), str(compiled.directory)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert [path.name for path in entries.iterdir()] == ["key"]
    fetched = build_cache.fetch("key", tmp_path)
    assert fetched is not None and fetched.manifest == compiled.manifest
