import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.report.factory import report


def _compare(
    folder: Path, after: dict[str, Any] | str, *options: str
) -> subprocess.CompletedProcess[str]:
    (folder / "a.json").write_text(json.dumps(report()))
    (folder / "b.json").write_text(after if isinstance(after, str) else json.dumps(after))
    command = [
        sys.executable,
        "-c",
        "from bitat_deploy.cli import main; main()",
        "compare",
        *options,
    ]
    return subprocess.run(
        [*command, "a.json", "b.json"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("after", "options", "code", "said"),
    [
        (report(seed=1), [], 0, "none"),
        (report(1.1), [], 9, "latency, median (+10."),
        (report(1.1), ["--minimum-change", "20"], 0, "+10."),
        (report(size__model_bytes=900_000), [], 0, "larger"),
        (
            report(size__model_bytes=900_000),
            ["--max-size-increase", "10"],
            9,
            "in: model size (+125",
        ),
        ("{", [], 3, "b.json"),
    ],
)
def test_exit_code(
    tmp_path: Path, after: dict[str, Any] | str, options: list[str], code: int, said: str
) -> None:
    done = _compare(tmp_path, after, *options)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1
