"""Comparisons: their runs, and the page made of the runs' reports."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.comparison import Comparison, load_comparison, report_of
from benchmarks.results_page import results_page
from benchmarks.rounding_page import rounding_section
from benchmarks.row_cost import modelled_costs, read_costs, row_name
from benchmarks.targets import targets_section
from bitat_deploy.errors import InputError
from bitat_deploy.training.recipe import read_recipe

COMMITTED = sorted((Path(__file__).parents[2] / "benchmarks" / "comparisons").glob("*.yaml"))
FULL = {"method": "full-precision", "full_precision": {"epochs": 1, "learning_rate": 0.01}}
SIGNS = {"method": "straight-through", "quantized": {"epochs": 2, "learning_rate": 0.01}}


def document() -> dict:
    base = read_recipe("smoke")
    for key in ("name", "full_precision", "binary_activations", "progressive", "fine_tune",
                "bitat", "distillation"):  # fmt: skip
        del base[key]
    full = {"name": "full", "title": "full precision", "set": FULL}
    signs = {"name": "signs", "title": "signs", "twin": "full", "part": "signs"}
    warm = {"name": "warm", "title": "warm-up", "twin": "full", "part": "signs"}
    return {
        "title": "Stripes",
        "text": "A text.",
        "effort": "none",
        "base": base,
        "parts": {"signs": SIGNS},
        "tables": [
            {"title": "Methods", "seeds": [1, 2], "rows": [signs, full]},
            {
                "title": "Parts",
                "seeds": [1],
                "rows": [signs, {**warm, "set": {"quantized": {"warmup_epochs": 1}}}],
            },
        ],
    }


def written(folder: Path, values: dict) -> Path:
    path = folder / "stripes.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(values))))  # without aliases
    return path


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    return load_comparison(written(tmp_path, document()))


def write_report(comparison: Comparison, index: int, top1: float, folder: Path) -> None:
    run = comparison.runs()[index]
    epoch = {"stage": "quantized", "epoch": 2.0, "fastest_step_seconds": 0.05}
    report = {
        "recipe": run.recipe(Path("elsewhere")).plain(),
        "accuracy": {"top1": top1},
        "stages": [{"validation_top1": top1}],
        "epochs": [epoch],
        "elapsed_seconds": 120,
        "environment": {"processor": "a processor", "threads": 2},
    }
    (folder / f"{run.name}.json").write_text(json.dumps(report))


def test_twins_come_first_and_each_run_once(comparison: Comparison) -> None:
    names = [run.name.removeprefix("stripes-") for run in comparison.runs()]
    assert names == ["full-seed1", "signs-seed1", "warm-seed1", "full-seed2", "signs-seed2"]
    recipe = comparison.runs()[2].recipe(Path("runs"))
    assert recipe.init == "runs/stripes-full-seed1/checkpoint.pt"
    assert recipe.sections.quantized.warmup_epochs == 1
    assert comparison.runs()[4].recipe(Path("runs")).seed == 2


def test_the_page_has_mean_and_spread_and_counts_what_is_missing(
    comparison: Comparison, tmp_path: Path
) -> None:
    for index, top1 in ((1, 0.8), (4, 0.81), (0, 0.9)):
        write_report(comparison, index, top1, tmp_path)
    page = results_page([comparison], tmp_path, {})
    assert "3 of 5 runs are available. 2 are missing" in page
    assert "| signs | W1A1 | 80.50 (80.00 to 81.00) | 2 | 2 | 50 | 2.0 |" in page
    assert "| full precision | 32 | 90.00 | 1 of 2 |" in page
    assert "warm-up" not in page
    assert "Trained on: a processor, 2 threads a run." in page


def test_tuning_is_short_and_its_rates_stand_on_the_page(tmp_path: Path) -> None:
    values = {**document(), "tuning": {"seed": 1, "epochs": 0.25, "rates": {"warm": [0.01, 0.1]}}}
    values["findings"] = "Nothing."
    comparison = load_comparison(written(tmp_path, values))
    names = [run.name.removeprefix("stripes-") for run in comparison.runs()]
    assert names[:3] == ["full-seed1", "warm-seed1-rate0.01", "warm-seed1-rate0.1"]
    recipe = comparison.runs()[2].recipe(Path("runs"))
    assert recipe.sections.quantized.learning_rate == 0.1
    quantized = recipe.sections.quantized
    assert (quantized.epochs, quantized.warmup_epochs) == (0.5, 0.25)
    for index, top1 in ((1, 0.5), (2, 0.6)):
        write_report(comparison, index, top1, tmp_path)
    page = results_page([comparison], tmp_path, {})
    assert "| warm-up | 0.01: **50.00**, 0.1: 60.00 |" in page
    assert "### Findings\n\nNothing.\n" in page


def test_budgets_shorten_all_stages_and_stand_by_images_and_epochs(tmp_path: Path) -> None:
    values = document()
    few = {"images": 100, "epochs": [0, 0.5]}
    values["budgets"] = {"seeds": [1], "rows": ["warm"], "amounts": [few, {"epochs": [3]}]}
    values["base"]["data"] = {**values["base"]["data"], "batch_size": 8}
    values["tables"][1]["rows"][1]["set"]["full_precision"] = {"epochs": 1, "learning_rate": 0.01}
    comparison = load_comparison(written(tmp_path, values))
    runs = {run.name.removeprefix("stripes-"): run for run in comparison.runs()[-3:]}
    assert list(runs) == [
        "warm-100-images-0-epochs-seed1",
        "warm-100-images-0.5-epochs-seed1",
        "warm-all-images-3-epochs-seed1",
    ]
    assert {run.twin for run in runs.values()} == {"stripes-full-seed1"}
    recipe = runs["warm-100-images-0.5-epochs-seed1"].recipe(Path("runs"))
    assert (recipe.data.train_images, recipe.data.validation_images) == (400, 300)
    assert recipe.full_precision is not None
    total = recipe.full_precision.epochs + recipe.sections.quantized.epochs
    assert total == pytest.approx(0.5, abs=1e-5)
    write_report(comparison, -2, 0.5, tmp_path)
    page = results_page([comparison], tmp_path, {})
    assert "| 100 training images | 0 epochs | 0.5 epochs |" in page
    assert "| warm-up |  | 50.00 |" in page
    assert ", above " not in page
    assert "all training images" not in page


def test_leads_are_differences_of_the_same_seed(tmp_path: Path) -> None:
    values = document()
    values["budgets"] = {"seeds": [1, 2], "rows": ["warm", "signs"], "amounts": [{"epochs": [3]}]}
    values["budgets"]["leads"] = [["warm", "signs"]]
    comparison = load_comparison(written(tmp_path, values))
    ends = ["warm-all-images-3-epochs-seed1", "signs-all-images-3-epochs-seed1",
            "warm-all-images-3-epochs-seed2"]  # fmt: skip
    names = [run.name.removeprefix("stripes-") for run in comparison.runs()]
    for name, top1 in zip(ends, (0.5, 0.4, 0.9), strict=True):
        write_report(comparison, names.index(name), top1, tmp_path)
    page = results_page([comparison], tmp_path, {})
    assert "| warm-up | 70.00 (50.00 to 90.00) |" in page
    assert "| warm-up, above signs | 10.00 |" in page


def test_rows_of_another_comparison(tmp_path: Path) -> None:
    written(tmp_path, document())
    values = {key: document()[key] for key in ("title", "text", "effort", "base")}
    values |= {"rows_of": "stripes", "without": ["warm"], "seeds": [3]}
    values["changes"] = {"signs": {"quantized": {"epochs": 4}}}
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(values))))
    full, signs = load_comparison(path).runs()
    assert (full.name, signs.name) == ("other-full-seed3", "other-signs-seed3")
    assert signs.recipe(Path("runs")).sections.quantized.epochs == 4


def test_reports_of_other_recipes_do_not_count(comparison: Comparison, tmp_path: Path) -> None:
    write_report(comparison, 1, 0.8, tmp_path)
    run = comparison.runs()[1]
    assert report_of(run, tmp_path) is not None
    path = tmp_path / f"{run.name}.json"
    report = json.loads(path.read_text())
    report["recipe"]["quantized"]["epochs"] = 3.0
    path.write_text(json.dumps(report))
    assert report_of(run, tmp_path) is None
    path.write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        report_of(run, tmp_path)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_committed_comparisons_give_equal_epochs(path: Path) -> None:
    comparison = load_comparison(path)
    totals = set()
    for run in comparison.runs():
        if "-rate" in run.name or "-epochs-" in run.name or run.static_int8:
            continue
        recipe = run.recipe(Path("runs"))
        sections = recipe.sections.__dict__.items()
        stages = {name: section for name, section in sections if hasattr(section, "learning_rate")}
        layers = stages.pop("progressive", None)
        total = sum(section.epochs for section in stages.values())
        if layers is not None:
            pairs = len(recipe.network.blocks)
            total += pairs * (layers.depthwise_epochs + layers.pointwise_epochs)
        if recipe.method != "full-precision":
            totals.add(round(total, 6))
    assert len(totals) == 1


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("twin", "half", "no row 'half'"),
        ("part", "half", "no part 'half'"),
        ("colour", "red", "unknown keys: colour"),
        ("set", {"method": "bitat"}, "quantized is no section of method 'bitat'"),
    ],
)
def test_mistakes_are_named(key: str, value: object, complaint: str, tmp_path: Path) -> None:
    values = document()
    row = values["tables"][0]["rows"][0]
    values["tables"][0]["rows"][0] = {**row, key: value}
    with pytest.raises(InputError, match=complaint):
        load_comparison(written(tmp_path, values))


def test_an_archived_report_may_lack_keys_that_came_later(tmp_path: Path) -> None:
    comparison = load_comparison(written(tmp_path, {**document(), "archived": True}))
    write_report(comparison, 0, 0.5, tmp_path)
    run = comparison.runs()[0]
    path = tmp_path / f"{run.name}.json"
    report = json.loads(path.read_text())
    del report["recipe"]["network"]["normalized_stream"]
    path.write_text(json.dumps(report))
    assert report_of(run, tmp_path) is not None
    assert report_of(replace(run, archived=False), tmp_path) is None
    report["recipe"]["network"]["width"] = 9.0
    path.write_text(json.dumps(report))
    assert report_of(run, tmp_path) is None


def test_the_committed_page_is_that_of_the_committed_reports() -> None:
    root = COMMITTED[0].parents[2]
    reports = root / "docs" / "reports"
    comparisons = {path.stem: load_comparison(path) for path in COMMITTED}
    targets = targets_section(root / "benchmarks" / "targets.yaml", root, comparisons)
    costs = read_costs(reports / "training-cycles.json")
    roundings = rounding_section(root / "benchmarks" / "rounding.yaml", root)
    page = results_page(list(comparisons.values()), reports / "training", costs, targets, roundings)
    assert page == (root / "docs" / "results.md").read_text()


def test_a_row_quantized_by_onnx_runtime_needs_its_twin_alone(tmp_path: Path) -> None:
    values = document()
    int8 = {"name": "int8", "title": "in 8 bits", "twin": "full", "static_int8": True}
    values["tables"][0]["rows"].append(int8)
    comparison = load_comparison(written(tmp_path, values))
    run = next(run for run in comparison.runs() if run.name == "stripes-int8-seed1")
    assert (run.twin, run.static_int8) == ("stripes-full-seed1", True)
    assert run.recipe(Path("runs")).method == "full-precision"
    assert run.recipe(Path("runs")).init is None
    index = comparison.runs().index(run)
    write_report(comparison, index, 0.7, tmp_path)
    page = results_page([comparison], tmp_path, {})
    assert "| in 8 bits | W8A8 | 70.00 | 1 of 2 |" in page


@pytest.mark.skipif(not shutil.which("llvm-mca"), reason="llvm-mca is not installed")
def test_a_row_has_the_cost_of_its_network(comparison: Comparison, tmp_path: Path) -> None:
    write_report(comparison, 1, 0.8, tmp_path)
    run = comparison.runs()[1]
    path = tmp_path / f"{run.name}.json"
    report = json.loads(path.read_text())
    report["cost"] = {"weight_bits": 16000, "W8A8": 5, "W1A1": 2_000_000}
    path.write_text(json.dumps(report))
    report |= {"input_shape": [28, 28, 1], "class_names": list("abcdefghij")}
    costs = {row_name(run): modelled_costs(run.recipe(Path("runs")), report)}
    assert row_name(run) == "stripes-signs"
    assert 0 < costs["stripes-signs"]["A72"] < costs["stripes-signs"]["A53"]
    page = results_page([comparison], tmp_path, costs)
    modelled = "; ".join(f"{costs['stripes-signs'][core] / 1e6:.2f}" for core in ("A72", "A53"))
    assert f"| 2.00 | 2.0 | {modelled} |" in page
