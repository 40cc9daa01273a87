import json
from pathlib import Path

import pytest

from benchmarks.targets import targets_section
from bitat_deploy.errors import InputError


def write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document))


def lines_of(folder: Path, target: str) -> list[str]:
    (folder / "targets.yaml").write_text(f"text: What was aimed at.\ntargets:\n  - {target}\n")
    return targets_section(folder / "targets.yaml", folder, {})


def test_targets_are_judged_by_kept_reports(tmp_path: Path) -> None:
    write(tmp_path / "few.json", {"seed": 1, "accuracy": {"top1": 0.8}})
    write(tmp_path / "all.json", {"seed": 1, "accuracy": {"top1": 0.825}})
    plain = lines_of(tmp_path, "{what: photos, aim: 81, of: {report: few.json}, reason: too few}")
    assert plain[-2] == "| photos | 81 % | 80.00 | 1 | **missed** | too few |"
    less = "less: {report: all.json}"
    above = lines_of(tmp_path, f"{{what: photos, aim: -2.5, of: {{report: few.json}}, {less}}}")
    assert above[-2] == "| photos | -2.5 points | -2.50 | 1 | reached |  |"
    none = lines_of(tmp_path, "{what: signs, aim: 98, of: {report: none.json}}")
    assert none[-2] == "| signs | 98 % | not measured | | |  |"


def test_roundings_are_compared_seed_by_seed(tmp_path: Path) -> None:
    rows = [
        {"weights": 1, "activations": 8, "method": method, "seed": seed, "top1": top1}
        for method, seed, top1 in [("stream", 1, 0.7), ("stream", 2, 0.8), ("gptq", 2, 0.5)]
    ]
    write(tmp_path / "r.json", {"reference": 0.9, "rows": rows})
    of = "of: {rounding: r.json, way: w1a8-stream}"
    other = lines_of(
        tmp_path, f"{{what: ours, aim: 3, {of}, less: {{rounding: r.json, way: w1a8-gptq}}}}"
    )
    assert other[-2] == "| ours | 3 points | 30.00 | 1 | reached |  |"
    whole = lines_of(tmp_path, f"{{what: ours, aim: -1, {of}, less: {{rounding: r.json}}}}")
    assert whole[-2] == "| ours | -1 points | -15.00 (-20.00 to -10.00) | 2 | **missed** |  |"


def test_a_source_says_where(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither report, row nor rounding"):
        lines_of(tmp_path, "{what: photos, aim: 81, of: {}}")
