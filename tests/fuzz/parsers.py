"""The readers to fuzz, all of files of unknown origin, and what must hold for their results.

``read`` raises an error from bitat_deploy/errors.py or returns something sound; any other exception
is a defect. So is a message that is not one printable line.
"""

import hashlib
import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console

from bitat_deploy.bundle import Manifest, read_bundle
from bitat_deploy.bundle.manifest import SCHEMA_VERSION, BundleFile, ModelIdentity, parse_manifest
from bitat_deploy.cli.inventory import board_file, read_inventory
from bitat_deploy.cli.project_file import read_project
from bitat_deploy.compiler.lowering import LoweredLayer, lower_layers
from bitat_deploy.errors import BitatDeployError, BundleError, InputError
from bitat_deploy.network import IMAGE, IntegerNetwork
from bitat_deploy.onnx_format import read_network, reference_logits, to_onnx
from bitat_deploy.report import (
    bench_document,
    compare_reports,
    comparison_table,
    html_report,
    markdown_report,
    read_report,
    terminal_report,
)
from bitat_deploy.target import Target, load_target
from tests.drawn_networks import draw_network
from tests.fuzz import device_parsers, left_files
from tests.fuzz.mutations import Mutation, mutate_bytes, mutate_json, mutate_onnx
from tests.report.factory import profile, report, result, twins

_CONTENTS = {"model.onnx": b"onnx", "model.so": b"library", "runner": b"run", "lib/a.so": b"a"}


@dataclass(frozen=True)
class Parser:
    """``read`` reads a file of this content in an empty folder."""

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], None]
    mutate: Mutation

    def try_one(self, content: bytes) -> bool:
        """Whether ``content`` was accepted; raises where it is neither that nor refused."""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            inside = Path(folder) / "work"
            inside.mkdir()
            try:
                self.read(content, inside)
                return True
            except BitatDeployError as error:
                message = str(error)
                assert message.isprintable() and message, repr(message)
                message.encode()
                assert len(message) < 4000, f"{len(message)} characters"
                return False
            finally:
                assert [path.name for path in Path(folder).iterdir()] == ["work"]


@cache
def _target() -> Target:
    return load_target("rpi4")


def _manifest_seeds() -> list[bytes]:
    network = draw_network(0, input_shape=(8, 8, 1), stem=(8, 2), blocks=((16, 2),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(to_onnx(network).SerializeToString())
        layers = lower_layers(read_network(path), _target())
    sums = {path: hashlib.sha256(content).hexdigest() for path, content in _CONTENTS.items()}
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        versions={"bitat-deploy": "0.1.0"},
        model=ModelIdentity(
            "drawn", sums["model.onnx"], network.input_shape, network.class_names, {"seed": "0"}
        ),
        target=_target(),
        layers=tuple(layer.report for layer in layers),
        files=tuple(
            BundleFile(path, sums[path], len(content), path == "runner", path != "model.onnx")
            for path, content in _CONTENTS.items()
        ),
    )
    return [manifest.to_json().encode()]


def _read_manifest(content: bytes, folder: Path) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BundleError("is not text") from error
    manifest = parse_manifest(text)
    assert parse_manifest(manifest.to_json()) == manifest
    for file in manifest.files:
        assert (folder / file.path).resolve().is_relative_to(folder.resolve())


def _read_bundle(content: bytes, folder: Path) -> None:
    for path, data in _CONTENTS.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "manifest.json").write_bytes(content)
    bundle = read_bundle(folder)
    assert bundle.size == sum(len(_CONTENTS[file.path]) for file in bundle.manifest.files)
    assert bundle.model_size == len(_CONTENTS["model.so"])


def _onnx_seeds() -> list[bytes]:
    networks = [
        draw_network(0, input_shape=(8, 8, 1), stem=(8, 2), blocks=((16, 2),)),
        draw_network(1, input_shape=(5, 7, 3), stem=(9, 1), blocks=((17, 1),), classes=3),
    ]
    return [to_onnx(network).SerializeToString() for network in networks]


def _read_onnx(content: bytes, folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(content)
    network = read_network(path)
    check_against_onnx_runtime(path, network, lower_layers(network, _target()))


def check_against_onnx_runtime(
    path: Path, network: IntegerNetwork, layers: tuple[LoweredLayer, ...]
) -> None:
    """That our operators, in plain numpy, answer what ONNX Runtime does, if it takes the file."""
    if sum(layer.report.macs for layer in layers) > 1_000_000 or _values(network, layers) > 100_000:
        return
    image = np.random.default_rng(0).integers(0, 256, (1, *network.input_shape), dtype=np.uint8)
    try:
        expected = reference_logits(path, image)
    except InputError:
        return
    values: dict[str, np.ndarray] = {IMAGE: image}
    with np.errstate(all="ignore"):
        for layer in layers:
            (source,) = layer.inputs
            values[layer.report.name] = layer.operator.reference(values[source])
    answer = values[network.layers[-1].name]
    assert np.array_equal(answer, expected, equal_nan=True), "other logits than ONNX Runtime's"


def _values(network: IntegerNetwork, layers: tuple[LoweredLayer, ...]) -> int:
    outputs = [int(np.prod(layer.report.output_shape)) for layer in layers]
    return int(np.prod(network.input_shape)) + sum(outputs)


def _report_seeds() -> list[bytes]:
    """A plain one, and one with times of layers and a baseline."""
    full = bench_document(result(runs=12, profile=profile(), baselines=twins()))
    return [json.dumps(document).encode() for document in (report(runs=12), full)]


def _read_report(content: bytes, folder: Path) -> None:
    path = folder / "report.json"
    path.write_bytes(content)
    read = read_report(path)
    assert read == json.loads(content)
    html_report(read)
    markdown_report(read)
    with StringIO() as terminal:
        Console(file=terminal).print(terminal_report(read))
        Console(file=terminal).print(
            comparison_table(compare_reports(report(runs=12), read), ("A", "B"))
        )


def _read_inventory(content: bytes, folder: Path) -> None:
    (folder / "boards.yaml").write_bytes(content)
    boards = read_inventory(folder / "boards.yaml")
    assert boards and all(board.host and board.name for board in boards)
    files = {board_file(folder / "report.json", board) for board in boards}
    assert len(files) == len(boards)
    for file in files:
        assert file.parent == folder
        file.touch()


def _read_project(content: bytes, folder: Path) -> None:
    (folder / "bitat.yaml").write_bytes(content)
    read_project(folder / "bitat.yaml").default_map()


def _mutate_yaml(content: bytes, source: random.Random) -> bytes:
    """As JSON, which is YAML too, half of the time."""
    if source.random() < 0.5:
        return mutate_bytes(content, source)
    try:
        document = json.dumps(yaml.safe_load(content))
    except Exception:  # whatever PyYAML makes of what was changed before
        return mutate_bytes(content, source)
    return mutate_json(document.encode(), source)


PARSERS = (
    Parser("manifest", _manifest_seeds, _read_manifest, mutate_json),
    Parser("bundle", _manifest_seeds, _read_bundle, mutate_json),
    Parser("onnx", _onnx_seeds, _read_onnx, mutate_onnx),
    Parser("report", _report_seeds, _read_report, mutate_json),
    Parser(
        "inventory",
        lambda: [b"- pi@a\n- {host: pi@b, name: kitchen, bundle: builds/b}\n"],
        _read_inventory,
        _mutate_yaml,
    ),
    Parser(
        "project",
        lambda: [b"model: zoo\ntarget: rpi4\nhost: [pi@a, 'pi@b:22']\ndata: fashion-mnist\n"],
        _read_project,
        _mutate_yaml,
    ),
    Parser("target", device_parsers.target_seeds, device_parsers.read_target, _mutate_yaml),
    Parser("runner", device_parsers.runner_seeds, device_parsers.read_runner, mutate_json),
    Parser(
        "measurements",
        device_parsers.measurement_seeds,
        device_parsers.read_measurements,
        mutate_json,
    ),
    Parser("facts", device_parsers.facts_seeds, device_parsers.read_facts, mutate_bytes),
    Parser("health", device_parsers.health_seeds, device_parsers.read_health, mutate_bytes),
    Parser(
        "reference", device_parsers.reference_seeds, device_parsers.read_reference, mutate_bytes
    ),
    Parser("cifar", device_parsers.cifar_seeds, device_parsers.read_cifar, mutate_bytes),
    Parser(
        "preprocessing", left_files.preprocessing_seeds, left_files.read_preprocessing, mutate_json
    ),
    Parser("classes", left_files.class_seeds, left_files.read_classes, mutate_bytes),
    Parser("recipe", left_files.recipe_seeds, left_files.read_recipe, _mutate_yaml),
    Parser("candidates", left_files.candidate_seeds, left_files.read_candidates, _mutate_yaml),
    Parser("exploration", left_files.exploration_seeds, left_files.read_explored, mutate_json),
    Parser("costs", left_files.cost_seeds, left_files.read_costs, mutate_json),
    Parser("plan", left_files.plan_seeds, left_files.read_plan, mutate_json),
    Parser("score", left_files.score_seeds, left_files.read_validation, mutate_json),
    Parser("twin", left_files.twin_seeds, left_files.read_twin, mutate_json),
    Parser("records", left_files.record_seeds, left_files.read_record_file, mutate_json),
    Parser("decoded", left_files.decoded_seeds, left_files.read_decoded, mutate_json),
)
