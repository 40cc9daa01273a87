"""Which reports count for the table of boards, and what it says."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.boards import as_markdown, board_rows, read_entries, refusal
from bitat_deploy.device import BaselineResult
from bitat_deploy.report import bench_document
from bitat_deploy.zoo import DEFAULT_MODEL, resolve_model
from tests.report.factory import PI, result, twins

ROOT = Path(__file__).parents[2]
SHA256 = hashlib.sha256(resolve_model(DEFAULT_MODEL).read_bytes()).hexdigest()


def twin(name: str, milliseconds: float) -> BaselineResult:
    drawn = twins()[0]
    assert drawn.run is not None
    latency = replace(drawn.run.latency, p50=milliseconds)
    run = replace(drawn.run, latency=latency, not_trustworthy=())
    return replace(drawn, name=name, run=run)


TWINS = (twin("float32", 4.0), twin("int8", 2.5))


def document(**changes: Any) -> dict[str, Any]:
    """A report that counts, unless ``changes`` to the result are for the worse."""
    sound = result(2.0)
    sound = replace(sound, latency=replace(sound.latency, p50=2.0))
    accuracy = replace(sound.accuracy, images=10_000, class_names=(), confusion=(), mistakes=())
    facts = {"model_sha256": SHA256, "accuracy": accuracy, "baselines": TWINS, **changes}
    return bench_document(replace(sound, **facts))


def test_a_sound_report_counts() -> None:
    assert refusal(document()) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": replace(PI, emulated=True)}, "emulated"),
        ({"device": replace(PI, arch="x86_64")}, "x86_64, which is no ARM board"),
        ({"not_trustworthy": ("the clock was 600 MHz",)}, "no trust: the clock was 600 MHz"),
        ({"model_sha256": "5a" * 32}, "none of this version's zoo"),
        ({"threads": 4}, "several threads"),
        ({"batch": 8}, "several threads or images"),
        ({"baselines": ()}, "float32 baseline is missing"),
        ({"baselines": TWINS[:1]}, "int8 baseline is missing"),
        ({"baselines": (TWINS[0], replace(TWINS[1], run=None, failure="x"))}, "int8 baseline fail"),
    ],
)
def test_refused(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(document(**changes))


def test_doubtful_answers_and_baselines_are_refused() -> None:
    sound = result(2.0).accuracy
    few = replace(sound, images=200)
    assert "200 of 10,000 test images" in refusal(document(accuracy=few))
    drawn = replace(sound, images=10_000, top1=None)
    assert "0 of 10,000" in refusal(document(accuracy=drawn))
    other = replace(sound, images=10_000, logits_equal=False)
    assert "other answers" in refusal(document(accuracy=other))
    run = TWINS[0].run
    assert run is not None
    doubtful = replace(TWINS[0], run=replace(run, not_trustworthy=("it was hot",)))
    words = refusal(document(baselines=(doubtful, TWINS[1])))
    assert "float32 baseline deserve no trust: it was hot" in words


def test_the_table(tmp_path: Path) -> None:
    for name, report in {
        "sound": document(),
        "emulated": document(device=replace(PI, emulated=True)),
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    (tmp_path / "damaged.json").write_text("{")
    entries = list(read_entries(sorted(tmp_path.glob("*.json"))))
    assert [bool(entry.refusal) for entry in entries] == [True, True, False]
    head, rule, row = as_markdown(board_rows(entries)).splitlines()
    assert head.startswith("| board |") and rule.count("---") == head.count("|") - 1
    assert "Raspberry Pi 4 Model B Rev 1.5" in row
    assert "| 2 ms | 4 ms, 2.0x | 2.5 ms, 1.2x |" in row
    assert "2026-11-27" in row


def test_the_page_has_the_table_of_the_reports(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "board-table")]
    printed = subprocess.run(script, capture_output=True, text=True)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout in (ROOT / "docs" / "boards" / "README.md").read_text()
    emulated = ROOT / "docs" / "reports" / "zoo-virtual-pi.json"
    refused = subprocess.run([*script, str(emulated)], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "does not count: its processor is emulated" in refused.stderr
