"""The front, the recommendation, and what the report says of them."""

import json
from pathlib import Path

import pytest

from bitat_deploy.errors import InputError
from bitat_deploy.exploration.choice import Row, choose, with_test
from bitat_deploy.exploration.costing import within_budget
from bitat_deploy.exploration.costs import Budget, Cost, CostFile, Timing
from bitat_deploy.exploration.pages import alike, exploration_report, recommendation, rivals
from bitat_deploy.exploration.plan import PlanFile, affordable
from bitat_deploy.exploration.reading import read_exploration
from bitat_deploy.exploration.work import Score, read_score
from bitat_deploy.report import html_page, markdown_page
from tests.exploration.documents import ROWS, exploration, row


def names(rows: tuple[Row, ...]) -> list[str]:
    return [one.candidate.shape_name for one in rows]


def test_the_best_within_the_budget_is_recommended() -> None:
    chosen = choose(ROWS, Budget(3.0))
    assert names(chosen.front) == ["fast", "same", "best"]
    assert names(choose(ROWS, Budget()).front) == ["fast", "same", "best", "slow"]
    assert names(choose(ROWS, Budget(3.0, size_bytes=999)).front) == []


def test_the_choice_stays_where_test_images_know_better() -> None:
    chosen = choose(ROWS, Budget())
    scores = {one.candidate.name: Score(99 - i, 100) for i, one in enumerate(chosen.front)}
    tested = with_test(chosen, scores)
    assert names(tested.front) == names(chosen.front)
    assert [one.test for one in tested.front] == list(scores.values())


def test_float_networks_are_not_ours_to_recommend() -> None:
    assert "real" not in names(choose((*ROWS, row("real2", 0.01, 100, bits=0)), Budget()).front)


def test_only_what_certainly_exceeds_the_budget_is_not_trained() -> None:
    candidates = [one.candidate for one in ROWS if one.candidate.bits]
    costs = {one.candidate.name: one.cost for one in ROWS if one.candidate.bits}
    kept = within_budget(candidates, costs, Budget(1.0))
    assert [one.shape_name for one in kept] == ["same", "short", "fast"]
    with pytest.raises(
        InputError, match=r"the fastest, fast-1x-96px-w1a1, takes 0\.1 ms \(modelled"
    ):
        within_budget(candidates, costs, Budget(0.01))
    with pytest.raises(InputError, match=r"needs 3,000 bytes, 10 are allowed \(--budget-memory\)"):
        within_budget(candidates, costs, Budget(memory_bytes=10))


def test_the_report_says_what_does_not_differ() -> None:
    found = exploration()
    assert alike(found) == ["same"]
    assert recommendation(found) == (
        "Take best within 3.000 ms: 80.0% (68 to 88%) of the validation images right, 2.000 ms "
        "(modelled; 2.000 ms to 4.000 ms by its error), 1.00 kB of weights."
    )
    text = markdown_page(exploration_report(found))
    assert "C does not differ from B in accuracy" in text
    assert "C may take longer than the budget" in text
    assert "In float32, whose latency is not known here, the best is real: 99.0%" in (
        html_page(exploration_report(found))
    )


def test_what_another_runtime_does_better_is_said() -> None:
    found = exploration()
    eight_bit = next(one for one in found["networks"] if one["name"] == "best")  # type: ignore[attr-defined]
    eight_bit["others"] = {"int8, ONNX Runtime": {"milliseconds": 1.9, "interval": [1.8, 2.0]}}
    assert rivals(found) == [
        "best in int8, ONNX Runtime is at least as good (80.0% (68 to 88%), 1.900 ms): take that "
        "instead."
    ]
    eight_bit["others"]["int8, ONNX Runtime"]["milliseconds"] = 2.1
    assert rivals(found) == []


def test_doubts_of_boards_are_the_first_thing_to_see() -> None:
    found = exploration() | {"modelled": False, "doubts": ["the processor is hot"]}
    banner = exploration_report(found).banner
    assert banner is not None and banner.reasons == ("the processor is hot",)
    banner = exploration_report(found | {"emulated": True}).banner
    assert banner is not None and banner.title == "EMULATED"


@pytest.mark.parametrize(
    ("most", "seconds", "per_epoch", "epochs"),
    [
        (40, None, 1.0, 40),
        (40, 1000.0, 1.0, 40),
        (40, 20.0, 1.0, 16),
        (40, 1.0, 1.0, 4),
        (42, None, 1, 40),
    ],
)
def test_epochs_fit_the_time(
    most: int, seconds: float | None, per_epoch: float, epochs: int
) -> None:
    assert affordable(most, seconds, per_epoch) == epochs


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for content in ("{", "[]", '{"a": 1}', json.dumps({"subject": 1, "owner": "x"})):
        file = tmp_path / "file.json"
        file.write_text(content)
        with pytest.raises(InputError, match=r"file\.json' is damaged"):
            CostFile(file)
        with pytest.raises(InputError, match=r"file\.json' is damaged or of another version"):
            PlanFile(file, "subject")
        with pytest.raises(InputError, match=r"file\.json' is no report"):
            read_exploration(file)


def test_impossible_numbers_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    for timing in ('{"milliseconds": -1}', '{"milliseconds": NaN}', '{"milliseconds": 1, "a": 1}'):
        file.write_text(f'{{"a": {{"origin": "board", "timing": {timing}}}}}')
        with pytest.raises(InputError, match=r"file\.json' is damaged"):
            CostFile(file)
    file.write_text('{"subject": "s", "owner": "o", "epochs": -4}')
    with pytest.raises(InputError, match="must be finite and not negative"):
        PlanFile(file, "s")
    for score in ('{"right": 5, "images": 4}', '{"right": 0, "images": 0}', "[" * 100_000):
        file.write_text(score)
        with pytest.raises(InputError, match=r"file\.json' is damaged; remove it"):
            read_score(file)


def test_reports_that_contradict_themselves(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    for changes, flaw in (
        ({"front": ["unknown"], "recommended": "unknown"}, "a network of the front is not known"),
        ({"front": ["real"], "recommended": "real"}, "has no latency or accuracy"),
        ({"recommended": "slow"}, "not on the front"),
        ({"epochs": "8"}, "epochs: '8' is not of type 'integer'"),
        ({"networks": exploration()["networks"] * 2}, "two networks have one name"),
    ):
        file.write_text(json.dumps(exploration() | changes))
        with pytest.raises(InputError, match=flaw):
            read_exploration(file)
    file.write_text(json.dumps(exploration()))
    assert read_exploration(file) == json.loads(file.read_text())


def test_costs_are_kept(tmp_path: Path) -> None:
    cost = Cost("board", Timing(1.5, (1.0, 2.0)), 5, 6, others={"int8": Timing(3.0)}, doubts=("a",))
    CostFile(tmp_path / "costs.json").add("name", cost)
    assert CostFile(tmp_path / "costs.json").costs == {"name": cost}
