"""Modules to break, and the tests that should notice: the quickest ones for each module."""

_OPERATORS = "tests/operators/test_operators.py"
_BUNDLE = ("tests/bundle/test_bundle.py",)
_RECOGNITION = ("tests/foreign/test_bad_files.py", "tests/foreign/test_recognition.py")
_EIGHT_BIT = tuple(
    f"tests/foreign/test_eight_bit.py::{test}"
    for test in (
        "test_levels_are_those_of_the_file",
        "test_a_clip_before_the_quantizer_leaves_sums_in_float",
        "test_all_layers_are_found_and_exact",
    )
)


def _of(*kinds: str) -> tuple[str, ...]:
    compiled = (f"{_OPERATORS}::test_this_machine[{kind}]" for kind in kinds)
    return (f"{_OPERATORS}::test_workloads_name_all_but_the_weights", *compiled)


_CONVOLUTIONS = _of("BitSerialConv", "QuantizedConv")
_ARM_CONVOLUTIONS = f"{_OPERATORS}::test_aarch64[rpi4]"
_POINTWISE = (
    "tests/operators/test_pointwise_schedule.py",
    *_of("BinaryPointwiseConv"),
    "tests/operators/test_schedules.py::test_pointwise",
)

_CYCLE_MODEL = ("tests/cycle_model/test_pipeline.py", "tests/cycle_model/test_network_cost.py")

TARGETS: dict[str, tuple[str, ...]] = {
    "bitat_deploy/bundle/bundle.py": _BUNDLE,
    "bitat_deploy/bundle/manifest.py": _BUNDLE,
    "bitat_deploy/onnx_format/reader.py": ("tests/onnx_format/test_reader.py",),
    "bitat_deploy/compiler/describe_layer.py": ("tests/compiler/test_lowering.py",),
    **{
        f"bitat_deploy/foreign/{name}.py": _RECOGNITION
        for name in (
            "binarized",
            "exact",
            "importing",
            "layers",
            "load",
            "preprocessing",
            "qonnx",
            "rewrite",
            "windows",
        )
    },
    "bitat_deploy/foreign/check.py": _RECOGNITION,
    "bitat_deploy/foreign/elementwise.py": ("tests/foreign/test_elementwise.py", *_RECOGNITION),
    "bitat_deploy/foreign/steps.py": ("tests/foreign/test_steps.py", *_RECOGNITION),
    "bitat_deploy/foreign/graph.py": (*_RECOGNITION, *_EIGHT_BIT),
    "bitat_deploy/foreign/levels.py": ("tests/foreign/test_levels.py", *_RECOGNITION),
    "bitat_deploy/foreign/eight_bit.py": _EIGHT_BIT,
    "bitat_deploy/foreign/eight_bit_rewrite.py": _EIGHT_BIT,
    "bitat_deploy/foreign/qlinear.py": _EIGHT_BIT,
    "bitat_deploy/compiler/static_module.py": (
        "tests/compiler/test_static_module.py",
        "tests/bundle/test_static_runner.py::test_equals_the_reference[shortcuts]",
    ),
    "training/bitat/block.py": ("tests/training/bitat/test_dependency.py",),
    "training/bitat/commit.py": ("tests/training/bitat/test_commit.py",),
    "training/uniq/calibration.py": ("tests/training/test_uniq.py",),
    "training/uniq/functions.py": ("tests/training/test_uniq.py",),
    "training/uniq/levels.py": ("tests/training/test_uniq.py",),
    "bitat_deploy/operators/arithmetic.py": ("tests/operators/test_arithmetic.py",),
    "bitat_deploy/operators/binary_depthwise.py": (
        *_of("BinaryDepthwiseConv"),
        "tests/operators/test_schedules.py::test_threads_share_large_layers",
    ),
    "bitat_deploy/operators/binary_pointwise.py": _of("BinaryPointwiseConv"),
    "bitat_deploy/operators/bit_planes.py": (
        *_of("GlobalCodeSum"),
        f"{_OPERATORS}::test_avx2",
    ),
    "bitat_deploy/operators/bit_serial_conv.py": (*_CONVOLUTIONS, _ARM_CONVOLUTIONS),
    "bitat_deploy/operators/bit_serial_count.py": (*_CONVOLUTIONS, _ARM_CONVOLUTIONS),
    "bitat_deploy/operators/bit_serial_depthwise.py": (
        *_of("BitSerialDepthwiseConv"),
        "tests/operators/test_convolutions.py",
    ),
    "bitat_deploy/operators/byte_copy.py": (
        *_of("QuantizedConv", "EightBitDepthwiseConv"),
        _ARM_CONVOLUTIONS,
    ),
    "bitat_deploy/operators/carry_save.py": (
        "tests/operators/test_carry_save.py",
        *_of("GlobalBitCount", "BinaryDepthwiseConv"),
    ),
    "bitat_deploy/operators/convolution.py": (
        *_CONVOLUTIONS,
        "tests/operators/test_convolutions.py::test_windows_end_within_the_padded_copy",
    ),
    "bitat_deploy/operators/eight_bit_depthwise.py": (
        *_of("EightBitDepthwiseConv"),
        _ARM_CONVOLUTIONS,
    ),
    "bitat_deploy/operators/binary_conv.py": _of("BinaryDepthwiseConv", "BinaryPointwiseConv"),
    "bitat_deploy/operators/float_boundary.py": _of("FloatThresholdPack"),
    "bitat_deploy/operators/global_bit_count.py": _of("GlobalBitCount"),
    "bitat_deploy/operators/global_code_sum.py": _of("GlobalCodeSum"),
    "bitat_deploy/operators/max_pool.py": _of("MaxPoolBytes", "MaxPoolCodes"),
    "bitat_deploy/operators/narrow_products.py": (
        "tests/operators/test_narrow_products.py",
        *_of("Int8Dense"),
        *_CONVOLUTIONS,
        _ARM_CONVOLUTIONS,
    ),
    "bitat_deploy/operators/operator.py": ("tests/operators/test_batch.py",),
    "bitat_deploy/operators/output_stage.py": _CONVOLUTIONS,
    "bitat_deploy/operators/pack.py": _of("ThresholdPack"),
    "bitat_deploy/operators/pointwise_counts.py": _POINTWISE,
    "bitat_deploy/operators/pointwise_schedule.py": _POINTWISE,
    "bitat_deploy/operators/pointwise_tables.py": _POINTWISE,
    "bitat_deploy/operators/quantized_conv.py": (*_CONVOLUTIONS, _ARM_CONVOLUTIONS),
    "bitat_deploy/operators/int8_dense.py": _of("Int8Dense"),
    "bitat_deploy/operators/requantize_stream.py": _of("RequantizeStream"),
    "bitat_deploy/operators/stream_pooling.py": _of("StreamAveragePool", "GlobalStreamSum"),
    "bitat_deploy/operators/vector_code.py": (
        "tests/operators/test_vector_code.py",
        *_of("StreamAveragePool", "GlobalCodeSum", "ThresholdPack"),
    ),
    "bitat_deploy/cycle_model/accuracy.py": _CYCLE_MODEL,
    "bitat_deploy/cycle_model/pipeline.py": _CYCLE_MODEL,
    "bitat_deploy/exploration/candidates.py": ("tests/exploration/test_candidates.py",),
    "bitat_deploy/exploration/choice.py": ("tests/exploration/test_choice.py",),
    "bitat_deploy/exploration/halving.py": ("tests/exploration/test_halving.py",),
    "bitat_deploy/files.py": ("tests/test_files.py",),
    "bitat_deploy/plain_text.py": ("tests/test_plain_text.py",),
    "training/own_network/form.py": (
        "tests/training/test_own_network_form.py",
        "tests/training/test_own_network.py",
    ),
    "training/own_network/operands.py": ("tests/training/test_own_network.py",),
}
