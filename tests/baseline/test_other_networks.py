"""Baselines of networks with shortcuts and many bits, and of files from elsewhere."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantFormat, QuantType

from bitat_deploy.baseline.float32 import float32_twin
from bitat_deploy.baseline.int8 import int8_twin
from bitat_deploy.baseline.prepare import prepare_baseline
from bitat_deploy.baseline.source import channels_first, is_quantized, without_quantization
from bitat_deploy.bundle import Bundle, build_bundle, read_bundle
from bitat_deploy.bundle.bundle import SOURCE_ONNX
from bitat_deploy.datasets import Dataset
from bitat_deploy.device import connect
from bitat_deploy.device.bench import bench
from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.onnx_format import read_network, reference_logits
from bitat_deploy.report import bench_document, markdown_report
from bitat_deploy.target import load_target
from bitat_deploy.zoo import resolve_model, zoo_names
from tests.baseline.test_twins import run
from tests.drawn_networks import draw_eight_bit_network, draw_shortcut_network
from tests.foreign.test_eight_bit import float_model, pictures, quantized

DRAWN = {"reactnet": draw_shortcut_network, "eight bits": draw_eight_bit_network}


@pytest.mark.parametrize("name", [*zoo_names(), *DRAWN])
def test_every_network_of_ours_has_twins(name: str) -> None:
    network = DRAWN[name](0) if name in DRAWN else read_network(resolve_model(name))
    float32 = float32_twin(network)
    height, width, channels = network.input_shape
    shape = (1, channels, height, width)
    logits = run(float32, shape)
    assert logits.std(axis=0).min() > 1e-3  # nothing has died on the way
    assert np.corrcoef(logits.ravel(), run(int8_twin(float32), shape).ravel())[0, 1] > 0.99
    assert sum(node.op_type in ("Conv", "Gemm") for node in float32.graph.node) == sum(
        hasattr(layer, "weight") for layer in network.layers
    )


@pytest.fixture(scope="module", params=["float32", "int8"])
def elsewhere(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Bundle]:
    """In which arithmetic a file is, and its bundle."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "int8":
        path = quantized(folder, QuantFormat.QDQ, QuantType.QUInt8, per_channel=True)
    else:
        path = folder / "float.onnx"
        onnx.save(float_model().proto(), path)
    return request.param, build_bundle(path, load_target("host"), folder / "bundle")


def test_a_file_from_elsewhere_is_compared_with_itself(elsewhere: tuple[str, Bundle]) -> None:
    arithmetic, bundle = elsewhere
    source = bundle.directory / SOURCE_ONNX
    answers = reference_logits(source, pictures(20)).argmax(axis=1)
    labels = np.where(np.arange(20) < 15, answers, (answers + 1) % 10)
    dataset = Dataset("drawn", pictures(20), labels, tuple(f"class {i}" for i in range(10)))
    with connect("local") as connection:
        options = BenchOptions(min_runs=20, min_seconds=0)
        baseline = prepare_baseline(bundle)
        result = bench(bundle, connection, dataset, options, baseline=baseline)
    assert all(one.run is not None for one in result.baselines)
    assert {one.name: one.top1 for one in result.baselines if one.trained} == {arithmetic: 0.75}
    text = markdown_report(bench_document(result))
    assert "75.00%" in text and f"{arithmetic} twin is the file" in text


def test_the_file_in_the_other_arithmetic(elsewhere: tuple[str, Bundle]) -> None:
    arithmetic, bundle = elsewhere
    source = channels_first(onnx.load(bundle.directory / SOURCE_ONNX))
    assert is_quantized(source) == (arithmetic == "int8")
    other = without_quantization(source) if arithmetic == "int8" else int8_twin(source)
    operators = {node.op_type for node in other.graph.node}
    assert ("QuantizeLinear" in operators) == (arithmetic != "int8")
    assert ("DequantizeLinear" in operators) == (arithmetic != "int8")
    shape = (1, 3, 24, 24)
    assert np.corrcoef(run(source, shape).ravel(), run(other, shape).ravel())[0, 1] > 0.99


def _run_folder(folder: Path, method: str, bits: int, top1: float | None = 0.9) -> Path:
    folder.mkdir()
    quantization = {"weight_bits": bits, "activation_bits": bits}
    recipe = {"name": folder.name, "dataset": "fashion-mnist", "method": method}
    document = {"recipe": recipe | {"quantization": quantization}, "accuracy": {"top1": top1}}
    (folder / "report.json").write_text(json.dumps(document))
    return folder


def test_accuracy_of_trained_twins(host_bundle: Path, tmp_path: Path) -> None:
    runs = [
        _run_folder(tmp_path / "float", "full-precision", 1),
        _run_folder(tmp_path / "eight", "uniq", 8, 0.89),
    ]
    twins = prepare_baseline(read_bundle(host_bundle), runs=runs).twins
    assert [(one.name, one.trained, one.top1) for one in twins] == [
        ("float32", "float", 0.9),
        ("int8", "eight", 0.89),
    ]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda folder: folder, "is not the folder of a finished training run"),
        (lambda folder: _run_folder(folder / "a", "uniq", 2), "neither in float32 nor in 8 bits"),
        (lambda folder: _run_folder(folder / "a", "uniq", 8, None), "has no test accuracy"),
    ],
)
def test_other_runs_are_refused(host_bundle: Path, tmp_path: Path, made: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepare_baseline(read_bundle(host_bundle), runs=[made(tmp_path)])


def test_what_is_not_possible_is_said_first(host_bundle: Path) -> None:
    """Before any step is told of."""
    bundle = read_bundle(host_bundle)
    told: list[str] = []
    small = replace(bundle.manifest, target=load_target("rpi-32bit"))
    with pytest.raises(BuildError, match="there is no ONNX Runtime"):
        prepare_baseline(replace(bundle, manifest=small), told.append)
    several = replace(bundle.manifest, model=replace(bundle.manifest.model, batch=4))
    with pytest.raises(InputError, match="one image at a time"):
        prepare_baseline(replace(bundle, manifest=several), told.append)
    assert not told
