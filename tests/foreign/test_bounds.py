"""Files made to take a machine's memory or time end in a sentence, as do those that are no text."""

import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits, run_bounded
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.foreign import load_network
from bitat_deploy.network import NOTHING
from bitat_deploy.target import load_target
from tests.foreign.drawn_models import Model

OURS = "own.functions"


def doubling(depth: int) -> onnx.ModelProto:
    """Functions of which each calls the one before twice."""
    imports = [helper.make_opsetid("", 20), helper.make_opsetid(OURS, 1)]
    proto = Model(opset=20).classify().proto()
    for index in range(depth):
        kind, domain = (f"F{index - 1}", OURS) if index else ("Relu", "")
        nodes = [
            helper.make_node(kind, ["a"], ["b"], domain=domain),
            helper.make_node(kind, ["b"], ["c"], domain=domain),
        ]
        proto.functions.append(
            helper.make_function(OURS, f"F{index}", ["a"], ["c"], nodes, imports)
        )
    first = proto.graph.node[0]
    call = helper.make_node(f"F{depth - 1}", [first.input[0]], ["called"], domain=OURS)
    first.input[0] = "called"
    proto.graph.node.insert(0, call)
    proto.opset_import.append(imports[1])
    return proto


def enlarged() -> onnx.ModelProto:
    model = Model()
    model.add("Resize", model.current, "", model.constant(np.array([1, 1, 3000, 3000])))
    return model.classify().proto()


def constant_of_shape(known: bool) -> onnx.ModelProto:
    """A constant of 6 GB; ``known``: shape inference tells it."""
    model = Model()
    proto = model.classify().proto()
    side = numpy_helper.from_array(np.array([40_000, 40_000], np.int64), "side")
    proto.graph.initializer.append(side)
    shape = "side" if known else "sorted"
    nodes = [
        helper.make_node("Unique", ["side"], ["unique"]),
        helper.make_node("Concat", ["unique", "unique"], ["sorted"], axis=0),
        helper.make_node("ConstantOfShape", [shape], ["huge"], name="the huge one"),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
    ]
    first = proto.graph.node[0]
    nodes.append(helper.make_node("Add", [first.input[0], "sum"], ["moved"]))
    first.input[0] = "moved"
    for node in reversed(nodes[2:] if known else nodes):
        proto.graph.node.insert(0, node)
    return proto


def saved(proto: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: doubling(25), r"has 33,554,43\d nodes, at most 20,000"),
        (lambda: doubling(60), "nodes, at most 20,000"),
        (enlarged, r"operator Resize \(node '.*'\) of '.*' writes a tensor of .* values"),
        (lambda: constant_of_shape(True), r"ConstantOfShape \(node 'the huge one'\).* writes a te"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_made(
    make: Callable[[], onnx.ModelProto], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        load_network(saved(make(), tmp_path), NOTHING, load_target("host"))


def test_a_function_that_calls_itself(tmp_path: Path) -> None:
    proto = doubling(2)
    proto.functions[0].node[0].op_type, proto.functions[0].node[0].domain = "F1", OURS
    with pytest.raises(InputError, match=r"calls itself|not a valid ONNX file"):
        load_network(saved(proto, tmp_path), NOTHING, load_target("host"))


def test_doubling_that_is_small_enough_is_taken(tmp_path: Path) -> None:
    network = load_network(saved(doubling(3), tmp_path), NOTHING, load_target("host"))
    again = pickle.loads(pickle.dumps(network))  # as from the process that reads it
    assert again.name == network.name


@pytest.mark.parametrize("command", ["build", "tune"])
def test_memory_of_the_process_is_bounded(command: str, tmp_path: Path) -> None:
    path = saved(constant_of_shape(False), tmp_path)
    limits = Limits(memory_bytes=2 << 30)
    with pytest.raises(InputError, match=r"'.*model.onnx' takes more than 2 GiB of memory"):
        if command == "build":
            build_bundle(path, load_target("host"), tmp_path / "bundle", limits=limits)
        else:
            target = load_target("host")
            run_bounded(f"reading '{path}'", limits, load_network, path, NOTHING, target)
    assert not (tmp_path / "bundle").exists()


def test_time_of_the_process_is_bounded(tmp_path: Path) -> None:
    model = Model()
    for _ in range(1000):
        for kind in ("Sigmoid", "Tanh", "Sin"):
            model.add(kind)
    path = saved(model.classify().proto(), tmp_path)
    limits = Limits(DEFAULT_LIMITS.memory_bytes, 2)
    begin = time.monotonic()
    with pytest.raises(InputError, match=r"compiling '.*' takes more than 2 seconds"):
        build_bundle(path, load_target("host"), tmp_path / "bundle", limits=limits)
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("field", ["graph", "node", "producer", "key", "value", "attribute"])
def test_strings_that_are_not_utf8(field: str, tmp_path: Path) -> None:
    proto, mark = Model().classify().proto(), "QQQQQQQQ"
    entry = proto.metadata_props.add()
    entry.key, entry.value = "key", "value"
    if field == "graph":
        proto.graph.name = mark
    elif field == "node":
        proto.graph.node[0].name = mark
    elif field == "producer":
        proto.producer_name = mark
    elif field == "attribute":
        proto.graph.node[0].attribute.add(name=mark, i=1, type=onnx.AttributeProto.INT)
    else:
        setattr(entry, field, mark)
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString().replace(mark.encode(), b"Q\xff\xfeQQQQQ"))
    with pytest.raises(InputError, match="has names that are not UTF-8"):
        load_network(path, NOTHING, load_target("host"))


def test_constants_that_cannot_be_computed_name_the_node(tmp_path: Path) -> None:
    proto = Model().classify().proto()
    table = numpy_helper.from_array(np.ones(3, np.float32), "table")
    seventh = numpy_helper.from_array(np.array(7, np.int64), "seventh")
    proto.graph.initializer.extend([table, seventh])
    first = proto.graph.node[0]
    nodes = [
        helper.make_node("Gather", ["table", "seventh"], ["none"], name="the wrong one"),
        helper.make_node("Add", [first.input[0], "none"], ["moved"]),
    ]
    first.input[0] = "moved"
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)
    with pytest.raises(
        UnsupportedOperatorError, match=r"Gather \(node 'the wrong one'\) of .* cannot"
    ):
        load_network(saved(proto, tmp_path), NOTHING, load_target("host"))
