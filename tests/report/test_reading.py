import json
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bitat_deploy.errors import InputError
from bitat_deploy.report import (
    compare_reports,
    comparison_table,
    html_report,
    markdown_report,
    read_report,
    report_schema,
    terminal_report,
)
from tests.report.factory import report


def _write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_schema_is_a_sound_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


def test_reads_what_was_written(tmp_path: Path) -> None:
    document = report(growth={"of": "a later version"})
    assert read_report(_write(tmp_path / "a.json", document)) == document


def test_optional_parts_may_be_absent(tmp_path: Path) -> None:
    document = report()
    del document["layers"], document["latency_ms"]["samples"]
    for key in ("confusion", "class_names", "mistakes", "top1_interval"):
        del document["accuracy"][key]
    for key in ("measured_at", "options", "target_processor"):
        del document[key]
    assert read_report(_write(tmp_path / "a.json", document)) == document


@pytest.mark.parametrize("name", ["zoo-host", "zoo-virtual-pi"])
def test_committed_reports_are_still_read(name: str) -> None:
    """They were written by earlier versions, without some of today's keys."""
    document = read_report(Path(__file__).parents[2] / f"docs/reports/{name}.json")
    assert "clock_share_at_maximum" not in document
    assert "86.25%" in html_report(document) and "86.25%" in markdown_report(document)
    with StringIO() as terminal:
        Console(file=terminal).print(terminal_report(document))
        assert "86.25%" in terminal.getvalue()
    assert not compare_reports(document, document).regressions


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latency_ms__p50": "fast"}, "latency_ms.p50"),
        ({"accuracy__mistakes": [{"image": 1, "label": 4, "prediction": 0}]}, "does not exist"),
        ({"accuracy__mistakes": [{"image": 1000, "label": 0, "prediction": 1}]}, "does not exist"),
        ({"latency_ms__samples": []}, "latency_ms.samples"),
        ({"latency_ms__runs": 0}, "latency_ms.runs"),
        ({"accuracy__top1": 1.5}, "accuracy.top1"),
        ({"model__sha256": "none"}, "model.sha256"),
        ({"size__model_bytes": -1}, "size.model_bytes"),
        ({"size__model_bytes": 10**40}, "size.model_bytes"),
        ({"device": []}, "device"),
        ({"layers": [{"name": "stem"}]}, "layers[0]"),
        ({"accuracy__confusion": [[1000]]}, "accuracy.confusion"),
        ({"accuracy__images": 999}, "accuracy.confusion"),
        ({"schema_version": 2}, "install a newer bitat-deploy"),
        ({"schema_version": "one"}, "schema_version"),
    ],
)
def test_says_what_is_wrong_in_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = _write(tmp_path / "a.json", report(**change))
    with pytest.raises(InputError) as caught:
        read_report(path)
    message = str(caught.value)
    assert said in message
    assert str(path) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b'{"schema_version": 1',
        b"[]",
        b"3",
        b"{}",
        b'{"schema_version": 1, "load_ms": NaN}',
        b'{"schema_version": 1, "load_ms": 1e999}',
        b"[" * 100_000,
        b'{"schema_version": ' + b"9" * 5000 + b"}",
    ],
)
def test_refuses_foreign_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bench report|JSON"):
        read_report(path)


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(InputError, match="is not a file"):
            read_report(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_report_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any value anywhere: no other exception than InputError; what is read can be shown."""
    document = report(runs=12)
    place: Any = document
    while isinstance(place, dict | list) and place:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        parent, key = place, data.draw(st.sampled_from(keys))
        place = parent[key]
        if data.draw(st.booleans()):
            break
    parent[key] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=True)
        | st.text(max_size=3)
        | st.lists(st.integers(), max_size=3)
        | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
    )
    path = _write(tmp_path_factory.getbasetemp() / "changed.json", document)
    try:
        read = read_report(path)
    except InputError as error:
        assert "\n" not in str(error)
        return
    html_report(read)
    markdown_report(read)
    with StringIO() as terminal:
        Console(file=terminal).print(terminal_report(read))
        comparison = compare_reports(report(), read)
        Console(file=terminal).print(comparison_table(comparison, ("A", "B")))
