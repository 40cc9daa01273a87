"""Which schedules the search proposes."""

from dataclasses import dataclass
from itertools import product

from bitat_deploy.records.record import schedule_key
from bitat_deploy.tuning.work import Search


@dataclass(frozen=True)
class Choice:
    pixels: int
    vectors: int
    words: int


SPACE = tuple(Choice(*values) for values in product((1, 2, 4, 8), (1, 2, 4, 8), (1, 3, 7, 15)))


def cost(choice: Choice) -> float:
    """One valley, with a wall where registers run out."""
    slope = 1 + abs(choice.pixels - 4) / 8 + abs(choice.vectors - 4) / 8 + choice.words / 50
    return slope * (2 if choice.pixels * choice.vectors > 16 else 1)


def run(trials: int, seed: int, batch: int = 8) -> list[Choice]:
    search = Search(SPACE, trials, seed)
    tried = []
    while proposed := search.propose(batch):
        tried += proposed
        for choice in proposed:
            search.tell(schedule_key(choice), cost(choice))
    return tried


def test_tries_all_of_a_small_space_once() -> None:
    tried = run(trials=len(SPACE), seed=1)
    assert sorted(tried, key=str) == sorted(SPACE, key=str)


def test_keeps_to_its_trials_and_repeats_nothing() -> None:
    tried = run(trials=20, seed=1)
    assert len(tried) == len(set(tried)) == 20


def test_is_the_same_for_the_same_seed() -> None:
    assert run(20, seed=1) == run(20, seed=1) != run(20, seed=2)


def test_walks_to_better_neighbours() -> None:
    """With a third of the space it comes close to the best, nearer than drawing at random does."""
    best = min(map(cost, SPACE))
    found = [min(map(cost, run(20, seed))) / best for seed in range(20)]
    drawn = [min(map(cost, run(20, seed)[:10])) / best for seed in range(20)]
    assert sum(found) / 20 < 1.05 < sum(drawn) / 20


def test_known_results_count_as_trials() -> None:
    search = Search(SPACE, 10, seed=1)
    for choice in SPACE[:9]:
        assert search.known(schedule_key(choice), 1.0)
    assert not search.known('{"of": "another version"}', 1.0)
    assert len(search.propose(8)) == 1
    assert search.propose(8) == []
