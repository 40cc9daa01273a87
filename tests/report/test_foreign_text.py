"""Nothing that a device, a bundle or a file says reaches a reader raw, in any field or format."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType

from bitat_deploy.errors import RunFailedError
from bitat_deploy.records.record import Record
from bitat_deploy.report import (
    bench_document,
    board_table,
    compare_reports,
    comparison_table,
    html_report,
    layer_table,
    markdown_report,
    terminal_report,
    top_classes_table,
    tuning_table,
)
from tests.hostile_device import NASTY, is_shown_safely
from tests.report.factory import LAYERS, profile, result, twins


def printed(renderable: RenderableType) -> str:
    with StringIO() as file:
        Console(file=file, width=100, color_system=None, _environ={}).print(renderable)
        return file.getvalue()


def spoil(value: Any) -> Any:
    """Every string but the one with a fixed set of values."""
    if isinstance(value, str):
        return value if value == "median" else NASTY
    if isinstance(value, dict):
        return {key: spoil(inside) for key, inside in value.items()}
    return list(map(spoil, value)) if isinstance(value, list | tuple) else value


def document() -> dict[str, Any]:
    drawn = result(profile=profile(), baselines=twins(), not_trustworthy=("reason",))
    spoiled: dict[str, Any] = spoil(bench_document(drawn))
    return spoiled | {"versions": {NASTY: NASTY}}


class _Summary:
    layers, tried, failed = (NASTY,), 1, 0
    best = Record(
        target="host",
        processor=NASTY,
        workload=NASTY,
        schedule=json.dumps({NASTY: 1}),
        default="{}",
        outcome="ok",
        value=1.0,
        reference=2.0,
        unit="ns",
        noise=0.0,
        source="device",
        device=NASTY,
        date=NASTY,
        versions={},
    )


LAYER = replace(LAYERS[0], name=NASTY, kind=NASTY, reason=NASTY, tuned=NASTY)
OUTPUTS: dict[str, Callable[[], str]] = {
    "terminal": lambda: printed(terminal_report(document())),
    "markdown": lambda: markdown_report(document()),
    "html": lambda: html_report(document()),
    "boards": lambda: printed(board_table([(NASTY, document()), (NASTY, RunFailedError(NASTY))])),
    "comparison": lambda: printed(
        comparison_table(compare_reports(bench_document(result()), document()), (NASTY, NASTY))
    ),
    "layers": lambda: printed(layer_table([LAYER])),
    "classes": lambda: printed(top_classes_table(np.zeros(2, np.float32), (NASTY, NASTY))),
    "tuning": lambda: printed(tuning_table([_Summary()])),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_output_is_printable_and_bounded(output: str) -> None:
    text = OUTPUTS[output]()
    assert not re.search(r"[^\n -\uffff]", text)  # no emoji
    assert is_shown_safely(text)
    assert "<img" not in text if output == "html" else "/x" in text
