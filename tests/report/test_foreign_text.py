"""Nothing that a device, a bundle or a file says reaches a reader raw, in any field or format."""

import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType

from bitat_deploy.cli.output import say
from bitat_deploy.errors import RunFailedError
from bitat_deploy.exploration import exploration_report, picture, recommendation
from bitat_deploy.records.record import Record
from bitat_deploy.report import (
    bench_document,
    board_table,
    compare_reports,
    comparison_table,
    html_page,
    html_report,
    layer_table,
    markdown_page,
    markdown_report,
    points_svg,
    terminal_page,
    terminal_report,
    top_classes_table,
    tuning_table,
)
from tests.exploration.documents import exploration
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


def explored() -> dict[str, Any]:
    """Two measured networks beside another runtime, and all text spoiled."""
    drawn = exploration() | {"modelled": False, "doubts": ["reason"], "complete": False}
    known = drawn["networks"][1] | {"others": {}}
    other = {"milliseconds": 1.9, "interval": [1.8, 2.0]}
    spoiled: dict[str, Any] = spoil(drawn | {"networks": [known], "front": ["best", "best"]})
    rival = spoiled["networks"][0] | {"name": f"{NASTY} 2", "others": {NASTY: other}}
    return spoiled | {"networks": [*spoiled["networks"], rival], "left_out": {NASTY: NASTY}}


def said(line: str) -> str:
    """What the program prints for a line."""
    with StringIO() as file, redirect_stdout(file):
        say(line)
        return file.getvalue()


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
    "exploration": lambda: printed(terminal_page(exploration_report(explored()), verbose=True)),
    "exploration, markdown": lambda: markdown_page(exploration_report(explored())),
    "exploration, html": lambda: html_page(exploration_report(explored())),
    "recommendation": lambda: said(recommendation(explored())),
    "picture, svg": lambda: points_svg(picture(explored(), NASTY)),
    "networks of the zoo": lambda: printed(board_table([(NASTY, document())], "network")),
    "tuning": lambda: printed(tuning_table([_Summary()])),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_output_is_printable_and_bounded(output: str) -> None:
    text = OUTPUTS[output]()
    assert not re.search(r"[^\n -\uffff]", text)  # no emoji
    assert is_shown_safely(text)
    assert "<img" not in text if "html" in output or "svg" in output else "/x" in text
