"""From a user's module to records of what it computes, by torch.fx."""

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.fx
import torch.nn.functional as functional
from torch import Tensor, nn

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.plain_text import message_lines
from bitat_deploy.training.bitat.convolution import BinarizedConv2d, padding_of
from bitat_deploy.training.normalization import affine_of
from bitat_deploy.training.own_network.black_border import BlackBorderConv2d
from bitat_deploy.training.own_network.graph import IMAGE, Operation

_OWN = (BinarizedConv2d, BlackBorderConv2d)
_ADD = (operator.add, operator.iadd, torch.add)
_SAME = (functional.dropout, functional.dropout2d)
_RESHAPE = (torch.flatten, torch.reshape, torch.squeeze)
_METHODS = {"relu": torch.relu, "relu_": torch.relu, "mean": torch.mean, "flatten": torch.flatten}
_METHODS |= {"view": torch.reshape, "reshape": torch.reshape, "squeeze": torch.squeeze}
_METHODS |= {"add": torch.add, "add_": torch.add, "contiguous": functional.dropout}
# Functions whose arguments behind the first are those of a module.
_AS_MODULE: dict[Any, Callable[..., nn.Module]] = {
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    functional.relu: nn.ReLU,
    functional.relu6: nn.ReLU6,
    functional.hardtanh: nn.Hardtanh,
    functional.leaky_relu: nn.LeakyReLU,
    functional.max_pool2d: nn.MaxPool2d,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}


def trace_model(model: nn.Module, batches: Iterable[Tensor]) -> tuple[Operation, ...]:
    """The operations of ``model``, in evaluation mode; peaks of ``batches``, each [N, C, H, W].

    Raises UnsupportedOperatorError naming the module or call that is not among them.
    """
    graph = _traced(model)
    interpreter = _Shapes(torch.fx.GraphModule(model, graph))
    with torch.no_grad():
        for images in batches:
            interpreter.run(images)
    reader = _Reader(model, interpreter.shapes, interpreter.peaks)
    for node in graph.nodes:
        reader.read(node)
    return tuple(reader.operations)


class _Tracer(torch.fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _OWN) or super().is_leaf_module(m, module_qualified_name)


def _traced(model: nn.Module) -> torch.fx.Graph:
    try:
        return _Tracer().trace(model.eval())
    except Exception as error:  # whatever the user's forward raises on a proxy
        raise UnsupportedOperatorError(
            "the model's forward cannot be traced, so it cannot be exported "
            f"({message_lines(error)[0]}): keep "
            "decisions that depend on values out of it, or give exports=False to train it all the "
            "same"
        ) from error


class _Shapes(torch.fx.Interpreter):
    """Runs the graph and notes every tensor's shape, without batch, and magnitude."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.peaks: dict[str, float] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n.name] = tuple(result.shape[1:])
            peak = float(result.abs().max())
            self.peaks[n.name] = max(self.peaks.get(n.name, 0.0), peak)
        return result


class _Reader:
    """Reads one node after the other; ``operations`` are those read so far."""

    def __init__(
        self,
        model: nn.Module,
        shapes: dict[str, tuple[int, ...]],
        peaks: dict[str, float],
    ) -> None:
        self.operations: list[Operation] = []
        self._model = model
        self._shapes = shapes
        self._peaks = peaks
        self._names: dict[str, str] = {}  # of the operation that gives a node's value
        self._taken = {IMAGE}

    def read(self, node: torch.fx.Node) -> None:
        """Add what ``node`` computes, if it computes a tensor."""
        if node.op == "placeholder":
            if self._names:
                raise UnsupportedOperatorError(
                    f"the model has a second input, '{node.target}'; networks here have one image"
                )
            self._names[node.name] = IMAGE
            return
        if node.op == "output":
            self._output(node)
            return
        if node.name not in self._shapes:
            return  # sizes and the like
        called, where = self._called(node)
        if called is None:
            self._names[node.name] = self._input(node, where)
            return
        kind, values, tensors = called
        inputs = [self._input(node, where, index) for index in range(2 if kind == "add" else 1)]
        operation = Operation(
            self._name(where),
            kind,
            tuple(inputs),
            self._shapes[node.name],
            values,
            tensors,
            self._peaks[node.name],
        )
        self.operations.append(operation)
        self._names[node.name] = operation.name

    def _output(self, node: torch.fx.Node) -> None:
        result = node.args[0]
        last = self.operations[-1].name if self.operations else None
        if not isinstance(result, torch.fx.Node) or self._names.get(result.name) != last:
            raise UnsupportedOperatorError(
                "the model returns something else than the output of its last layer; networks "
                "here return one tensor of logits"
            )

    def _input(self, node: torch.fx.Node, where: str, index: int = 0) -> str:
        source = node.args[index] if index < len(node.args) else None
        if not isinstance(source, torch.fx.Node) or source.name not in self._names:
            raise UnsupportedOperatorError(
                f"'{where}' reads a number or a parameter in place of a tensor of the network, "
                "which the device has no operator for"
            )
        return self._names[source.name]

    def _shape_of_input(self, node: torch.fx.Node) -> tuple[int, ...]:
        source = node.args[0]
        assert isinstance(source, torch.fx.Node)
        return self._shapes[source.name]

    def _name(self, where: str) -> str:
        name, count = where, 1
        while name in self._taken:
            count += 1
            name = f"{where}.{count}"
        self._taken.add(name)
        return name

    def _called(self, node: torch.fx.Node) -> tuple[Any, str]:
        """(kind, values, tensors), None for what changes nothing; and how messages call it."""
        arguments = node.args[1:]
        if node.op == "call_module":
            module = self._model.get_submodule(str(node.target))
            return self._module(module, node, str(node.target)), str(node.target)
        where = self._place(node)
        if node.op == "call_method" and node.target in _METHODS:
            target: Any = _METHODS[str(node.target)]
        elif node.op == "call_function":
            target = node.target
        else:
            raise self._unknown(where, f"'{node.target}'")
        if target in _ADD:
            self._check_addition(node, where)
            return ("add", {}, {}), where
        if target in _SAME:
            return None, where
        if target in _RESHAPE:
            self._check_vector(node, where)
            return None, where
        if target is torch.mean:
            return self._mean(node, where), where
        if target in _AS_MODULE:
            module = _AS_MODULE[target](*arguments, **_without_inplace(node.kwargs))
            return self._module(module, node, where), where
        name = getattr(target, "__name__", str(target))
        raise self._unknown(where, f"the function {name}")

    def _place(self, node: torch.fx.Node) -> str:
        """The module in whose forward the call is, and the node."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        inside = str(stack[-1][0]) if stack and stack[-1][0] else ""
        return f"{inside}.{node.name}" if inside else node.name

    def _unknown(self, where: str, what: str) -> UnsupportedOperatorError:
        return UnsupportedOperatorError(
            f"'{where}' is {what}, for which the device has no operator; networks that can be "
            "exported are made of Conv2d, BatchNorm2d, ReLU, ReLU6, Hardtanh, LeakyReLU, PReLU, "
            "additions, MaxPool2d, AvgPool2d(2), a global average and one Linear at the end"
        )

    def _module(self, module: nn.Module, node: torch.fx.Node, where: str) -> Any:
        shape = self._shape_of_input(node)
        if isinstance(module, nn.Identity | nn.Dropout | nn.Dropout2d):
            return None
        if isinstance(module, nn.Flatten):
            self._check_vector(node, where)
            return None
        if isinstance(module, BinarizedConv2d | BlackBorderConv2d | nn.Conv2d):
            return _convolution(module, where)
        if isinstance(module, nn.BatchNorm2d):
            return _normalization(module, where)
        if isinstance(module, nn.MaxPool2d):
            return _max_pool(module, where)
        if isinstance(module, nn.AvgPool2d):
            return _average_pool(module, shape, self._shapes[node.name], where)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            if self._shapes[node.name][1:] != (1, 1):
                raise self._unknown(where, "an adaptive pooling to more than one pixel")
            return "global_average", {}, {}
        if isinstance(module, nn.Linear):
            if len(shape) != 1:
                raise self._unknown(where, f"a Linear on {shape[-1]} columns")
            bias = torch.zeros(module.out_features) if module.bias is None else module.bias
            return "dense", {}, _copied(weight=module.weight, bias=bias)
        activation = _activation(module, shape[0])
        if activation is None:
            raise self._unknown(where, f"a {type(module).__name__}")
        return activation

    def _mean(self, node: torch.fx.Node, where: str) -> Any:
        given = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
        dimensions = given if isinstance(given, tuple | list) else [given]
        if not all(isinstance(d, int) for d in dimensions) or {d % 4 for d in dimensions} != {2, 3}:  # type: ignore[operator]
            raise self._unknown(where, "a mean over other dimensions than rows and columns")
        return "global_average", {}, {}

    def _check_addition(self, node: torch.fx.Node, where: str) -> None:
        operands = [part for part in node.args[:2] if isinstance(part, torch.fx.Node)]
        shapes = [self._shapes.get(part.name) for part in operands]
        if len(shapes) != 2 or shapes[0] != shapes[1] or node.kwargs.get("alpha", 1) != 1:
            raise self._unknown(where, "an addition of something else than two equal shapes")

    def _check_vector(self, node: torch.fx.Node, where: str) -> None:
        before, after = self._shape_of_input(node), self._shapes[node.name]
        if math.prod(before[1:]) != 1 or after[:1] != before[:1]:
            raise UnsupportedOperatorError(
                f"'{where}' makes a vector of {' x '.join(map(str, before[1:]))} positions; put a "
                "global average (AdaptiveAvgPool2d(1)) in front of it"
            )


def _without_inplace(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in ("inplace", "return_indices")}


def _copied(**tensors: Tensor) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _convolution(module: Any, where: str) -> Any:
    binary = isinstance(module, BinarizedConv2d)
    weight = module.effective_weight() if binary else module.weight
    strides = module.strides if binary else module.stride
    left, right, top, bottom = module.padding if binary else padding_of(module)
    height, width = weight.shape[2:]
    dilations = [d for d, k in zip(module.dilation, (height, width), strict=True) if k > 1]
    padding = max(left, right, top, bottom)
    wanted = [padding if height == width or k > 1 else 0 for k in (height, width)]
    fits = (left, right, top, bottom) == (wanted[1], wanted[1], wanted[0], wanted[0])
    square = height == width or 1 in (height, width)
    if not fits or not square or strides[0] != strides[1] or len(set(dilations)) > 1:
        raise UnsupportedOperatorError(
            f"'{where}' has filters of {height}x{width}, stride {tuple(strides)}, dilation "
            f"{tuple(module.dilation)} and padding {(left, right, top, bottom)} (left, right, top, "
            "bottom); filters on the device are square, a row or a column, and stride, dilation "
            "and padding are the same on all sides"
        )
    if not binary and module.padding_mode != "zeros":
        raise UnsupportedOperatorError(f"'{where}' pads with {module.padding_mode!r}, not zeros")
    values = {
        "stride": strides[0],
        "padding": padding,
        "dilation": (dilations or [1])[0],
        "groups": module.groups,
    }
    bias = torch.zeros(len(weight)) if module.bias is None else module.bias
    tensors = _copied(weight=weight, bias=bias)
    if binary:
        tensors |= _copied(threshold=module.threshold.reshape(-1))
    return ("binary" if binary else "convolution"), values, tensors


def _normalization(module: nn.BatchNorm2d, where: str) -> Any:
    if module.running_mean is None or module.running_var is None:
        raise UnsupportedOperatorError(
            f"'{where}' normalizes with each batch's own statistics; the device needs "
            "track_running_stats=True"
        )
    if not module.affine:
        plain = nn.BatchNorm2d(module.num_features, module.eps)
        plain.running_mean, plain.running_var = module.running_mean, module.running_var
        module = plain
    names = ("gamma", "beta", "mean", "deviation")
    arrays = zip(names, affine_of(module), strict=True)
    return "normalization", {}, {name: torch.from_numpy(values) for name, values in arrays}


def _max_pool(module: nn.MaxPool2d, where: str) -> Any:
    stride = module.kernel_size if module.stride is None else module.stride
    pairs = [_pair(value) for value in (module.kernel_size, stride, module.padding)]
    if any(a != b for a, b in pairs) or module.ceil_mode or _pair(module.dilation) != (1, 1):
        raise UnsupportedOperatorError(
            f"'{where}' is a MaxPool2d with dilation, ceil_mode or windows that are not square; "
            "the device has none of these"
        )
    kernel, stride, padding = (pair[0] for pair in pairs)
    return "max_pool", {"kernel": kernel, "stride": stride, "padding": padding}, {}


def _average_pool(
    module: nn.AvgPool2d, shape: tuple[int, ...], output: tuple[int, ...], where: str
) -> Any:
    kernel, padding = _pair(module.kernel_size), _pair(module.padding)
    stride = kernel if module.stride is None else _pair(module.stride)
    if padding == (0, 0) and kernel == shape[1:]:
        return "global_average", {}, {}
    whole = all(-(-size // 2) == out for size, out in zip(shape[1:], output[1:], strict=True))
    if kernel != (2, 2) or stride != (2, 2) or padding != (0, 0) or not whole:
        raise UnsupportedOperatorError(
            f"'{where}' is an AvgPool2d of {kernel} with stride {stride} and padding {padding} on "
            f"{shape[2]}x{shape[1]} pixels; the device has averages of 2x2 with stride 2, of odd "
            "sizes with ceil_mode=True, and of the whole picture"
        )
    return "average_pool", {}, {}


def _activation(module: nn.Module, channels: int) -> Any:
    """None where it is no activation that the device has."""
    slope, low, high = torch.zeros(channels), -math.inf, math.inf
    if isinstance(module, nn.ReLU6):
        low, high = 0.0, 6.0
    elif isinstance(module, nn.Hardtanh):
        slope, low, high = torch.ones(channels), float(module.min_val), float(module.max_val)
    elif isinstance(module, nn.ReLU):
        low = 0.0
    elif isinstance(module, nn.LeakyReLU):
        slope = torch.full((channels,), float(module.negative_slope))
    elif isinstance(module, nn.PReLU):
        slope = module.weight.detach().expand(channels)
    else:
        return None
    return "activation", {"low": low, "high": high}, _copied(slope=slope)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
