"""Successive halving in Optuna's storage."""

from pathlib import Path

import pytest

from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.exploration.candidates import Bits, Candidate, Shape
from bitat_deploy.exploration.costs import Cost, Timing
from bitat_deploy.exploration.halving import Halving, cell_of, rungs
from bitat_deploy.exploration.work import Score

SHAPE = Shape("mobilenet-v1", "chain", 32, ((64, 1),))
NAMES = tuple(f"s{index}" for index in range(8))


def candidates(count: int) -> list[Candidate]:
    return [Candidate(name, SHAPE, 1.0, 96, Bits(1, 1)) for name in NAMES[:count]]


def opened(folder: Path | None, count: int, owner: str = "me") -> Halving:
    storage = "sqlite://" if folder is None else f"sqlite:///{folder / 'explore.db'}"
    return Halving(storage, owner, {"cell": candidates(count)}, 40, "test", NAMES)


def score(candidate: Candidate) -> Score:
    """The last ones are the best."""
    return Score(10 * NAMES.index(candidate.shape_name) + 5, 100)


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (1, [(40, 1)]),
        (2, [(20, 2), (40, 1)]),
        (3, [(10, 3), (20, 1), (40, 1)]),
        (4, [(10, 4), (20, 2), (40, 1)]),
        (7, [(10, 7), (20, 3), (40, 1)]),
        (8, [(10, 8), (20, 4), (40, 2)]),
    ],
)
def test_the_better_half_trains_on(count: int, wanted: list[tuple[int, int]]) -> None:
    halving, seen = opened(None, count), []
    while waiting := halving.waiting():
        seen.append((waiting[0][1], len(waiting)))
        for candidate, _ in waiting:
            halving.report(candidate, score(candidate))
    assert seen == wanted
    standings = halving.standings()
    assert [one.candidate.shape_name for one in standings if not one.stopped] == [
        *NAMES[count - wanted[-1][1] : count]
    ]
    assert all(one.score == score(one.candidate) for one in standings)


def test_a_stopped_command_loses_no_report(tmp_path: Path) -> None:
    """Opened anew before each report, it does the same."""
    for _ in range(4 + 2 + 1):
        halving = opened(tmp_path, 4)
        candidate = halving.waiting()[0][0]
        halving.report(candidate, score(candidate))
    halving = opened(tmp_path, 4)
    assert halving.waiting() == []
    assert [one.epochs for one in halving.standings()] == [10, 10, 20, 40]


def test_two_machines_share_a_cell(tmp_path: Path) -> None:
    """The better machine's candidates stop the other's."""
    one, other = opened(tmp_path, 4, "one"), opened(tmp_path, 4, "other")
    for candidate, _ in one.waiting():
        one.report(candidate, score(candidate))
    for candidate, _ in other.waiting():
        other.report(candidate, Score(1, 100))
    assert len(one.waiting()) == 2
    assert len(other.waiting()) < 2


def test_a_failed_candidate_is_out(tmp_path: Path) -> None:
    halving = opened(tmp_path, 2)
    halving.fail(halving.waiting()[0][0], "diverged")
    halving.report(halving.waiting()[0][0], Score(1, 2))
    assert halving.waiting()[0][1] == 40
    assert [one.failure for one in halving.standings()] == ["diverged", ""]


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "explore.db").write_bytes(b"no database" * 100)
    with pytest.raises(BuildError, match="file is not a database"):
        opened(tmp_path, 1)
    with pytest.raises(InputError, match="no database that Optuna can use"):
        Halving("nonsense", "me", {}, 4, "test", NAMES)


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    opened(tmp_path, 1)
    with sqlite3.connect(tmp_path / "explore.db") as database:
        database.execute("update version_info set schema_version = 3")
        database.execute("update alembic_version set version_num = 'v0.9.0.a'")
    database.close()
    with pytest.raises(InputError, match="another version of Optuna"):
        opened(tmp_path, 1)


def test_rivals_have_the_same_bits_and_about_the_same_latency() -> None:
    one = candidates(1)[0]
    cells = [cell_of(one, Cost("modelled", Timing(value))) for value in (1.0, 1.9, 2.1, 0.3)]
    assert cells == [
        "W1A1, 1 to 2 ms",
        "W1A1, 1 to 2 ms",
        "W1A1, 2 to 4 ms",
        "W1A1, 0.25 to 0.5 ms",
    ]
    assert cell_of(Candidate("s", SHAPE, 1.0, 96, None), None) == "float"


def test_lengths_double() -> None:
    assert rungs(40) == (10, 20, 40)
