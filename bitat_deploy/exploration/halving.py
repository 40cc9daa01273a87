"""Which candidates train on: successive halving, kept in Optuna's storage.

Candidates of the same bits and about the same latency are one Optuna study, a *cell*: only such are
rivals. All of a cell train briefly; then the better half, by validation accuracy, trains again from
its twin with twice the epochs, until the rest have full length. Optuna's SuccessiveHalvingPruner
(Li et al., arXiv 1810.05934) decides.
"""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial, TrialState

from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.exploration.candidates import Candidate
from bitat_deploy.exploration.costs import Cost
from bitat_deploy.exploration.work import Score
from bitat_deploy.plain_text import message_lines

HALVINGS = 2
_WIDEST, _LARGEST = 64.0, 4096  # bounds of what a trial may have; Optuna's page shows them
_OWNER, _CANDIDATE, _RUNG, _SCORE, _FAILURE = "owner", "candidate", "rung", "score", "failure"


@dataclass(frozen=True)
class Standing:
    """How far a candidate has come: its ``score`` by validation after ``epochs``.

    ``stopped``: it will not train on, as its rivals were better or because of ``failure``.
    """

    candidate: Candidate
    epochs: int
    score: Score | None
    stopped: bool
    failure: str = ""


def cell_of(candidate: Candidate, cost: Cost | None) -> str:
    """The name of a candidate's study: its series, and the power of 2 that its latency is below."""
    if cost is None or cost.timing is None:
        return candidate.series
    above = math.floor(math.log2(cost.timing.milliseconds))
    return f"{candidate.series}, {2.0**above:g} to {2.0 ** (above + 1):g} ms"


def rungs(epochs: int) -> tuple[int, ...]:
    """The lengths of a candidate's runs in epochs; the last is ``epochs``, a multiple of 4."""
    return tuple(epochs >> (HALVINGS - index) for index in range(HALVINGS + 1))


class Halving:
    """All cells of one exploration; a new one of the same ``storage`` goes on where it was.

    ``owner`` is this machine's output folder: another machine with the same database has its own
    trials in the same cells. ``shapes`` are all names of shapes, ``prefix`` tells explorations
    apart.
    """

    def __init__(
        self,
        storage: str,
        owner: str,
        cells: Mapping[str, Sequence[Candidate]],
        epochs: int,
        prefix: str,
        shapes: tuple[str, ...],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._owner = owner
        self._rungs = rungs(epochs)
        with storage_errors(storage):
            engine = _open_storage(storage)
            pruner = optuna.pruners.SuccessiveHalvingPruner(self._rungs[0], 2)
            self._cells = {}
            for name, candidates in cells.items():
                study = optuna.create_study(
                    storage=engine,
                    pruner=pruner,
                    study_name=f"{prefix}: {name}",
                    direction="maximize",
                    load_if_exists=True,
                )
                self._cells[name] = _Cell(study, owner, candidates, self._rungs, shapes)

    def waiting(self) -> list[tuple[Candidate, int]]:
        """Runs that can begin, and their epochs: the shortest first, then cell by cell."""
        runs = [
            (cell.rung(name), place, cell.candidates[name])
            for cell in self._cells.values()
            for place, name in enumerate(cell.waiting())
        ]
        runs.sort(key=lambda run: run[:2])
        return [(candidate, self._rungs[rung]) for rung, _, candidate in runs]

    def report(self, candidate: Candidate, score: Score) -> None:
        """What a finished run gave; its cell may be halved by it."""
        self._cell(candidate).report(candidate.name, score)

    def fail(self, candidate: Candidate, reason: str) -> None:
        """A run that cannot be finished: the candidate is out."""
        self._cell(candidate).fail(candidate.name, reason)

    def standings(self) -> list[Standing]:
        """Of all candidates."""
        return [standing for cell in self._cells.values() for standing in cell.standings()]

    def expected_epochs(self, candidate: Candidate) -> float:
        """How many epochs a candidate will still train, half of its rivals being stopped."""
        return self._cell(candidate).expected_epochs(candidate.name)

    def _cell(self, candidate: Candidate) -> "_Cell":
        return next(cell for cell in self._cells.values() if candidate.name in cell.candidates)


class _Cell:
    """One study and this machine's trials in it."""

    def __init__(
        self,
        study: optuna.Study,
        owner: str,
        candidates: Sequence[Candidate],
        lengths: tuple[int, ...],
        shapes: tuple[str, ...],
    ) -> None:
        self._study = study
        self._shapes = shapes
        self._lengths = lengths
        self.candidates = {candidate.name: candidate for candidate in candidates}
        known = self._of(owner)
        for name, candidate in self.candidates.items():
            if name not in known:
                self._begin(candidate, owner)
        known = self._of(owner)
        self._trials = {name: Trial(study, known[name]) for name in self.candidates}
        self._halve()  # a killed command may not have come to it

    def _of(self, owner: str) -> dict[str, int]:
        """Numbers of the trials of ``owner``, by their candidates."""
        return {
            str(trial.user_attrs.get(_CANDIDATE)): trial._trial_id
            for trial in self._study.get_trials(deepcopy=False)
            if trial.user_attrs.get(_OWNER) == owner
        }

    def _begin(self, candidate: Candidate, owner: str) -> None:
        """A trial of a candidate, chosen by us: all of a cell are tried."""
        names = CategoricalDistribution(self._shapes)
        trial = optuna.create_trial(
            state=TrialState.RUNNING,
            params={
                "shape": candidate.shape_name,
                "width": candidate.width,
                "image_size": candidate.image_size,
            },
            distributions={
                "shape": names,
                "width": FloatDistribution(0, _WIDEST),
                "image_size": IntDistribution(1, _LARGEST),
            },
            user_attrs={_OWNER: owner, _CANDIDATE: candidate.name},
        )
        self._study.add_trial(trial)

    def rung(self, name: str) -> int:
        """The number of the run that it is at; a cell of few has the longer runs alone."""
        fewest = max(HALVINGS - (len(self.candidates) - 1).bit_length(), 0)
        return int(self._trials[name].user_attrs.get(_RUNG, fewest))

    def waiting(self) -> list[str]:
        """Those whose next run can begin."""
        return [
            name
            for name, trial in self._trials.items()
            if self._running(name) and self._lengths[self.rung(name)] not in _values(trial)
        ]

    def report(self, name: str, score: Score) -> None:
        """Keep the score of the run that was waited for."""
        trial, length = self._trials[name], self._lengths[self.rung(name)]
        trial.set_user_attr(f"{_SCORE} {length}", [score.right, score.images])
        trial.report(score.accuracy, length)
        self._halve()

    def fail(self, name: str, reason: str) -> None:
        """End its trial."""
        self._trials[name].set_user_attr(_FAILURE, reason)
        self._study.tell(self._trials[name], state=TrialState.FAIL)
        self._halve()

    def standings(self) -> Iterator[Standing]:
        """Of its candidates."""
        for name, candidate in self.candidates.items():
            trial = _frozen(self._trials[name])
            epochs = max(trial.intermediate_values, default=0)
            kept = trial.user_attrs.get(f"{_SCORE} {epochs}")
            yield Standing(
                candidate,
                epochs,
                None if kept is None else Score(*kept),
                trial.state in (TrialState.PRUNED, TrialState.FAIL),
                str(trial.user_attrs.get(_FAILURE, "")),
            )

    def expected_epochs(self, name: str) -> float:
        """See :meth:`Halving.expected_epochs`."""
        if not self._running(name):
            return 0.0
        done = _values(self._trials[name])
        ahead = [length for length in self._lengths[self.rung(name) :] if length not in done]
        return sum(length / 2**index for index, length in enumerate(ahead))

    def _running(self, name: str) -> bool:
        return not _frozen(self._trials[name]).state.is_finished()

    def _halve(self) -> None:
        """Where all that run have reported, stop the worse half or end the cell."""
        running = {name: trial for name, trial in self._trials.items() if self._running(name)}
        if not running or self.waiting():
            return
        rung = min(map(self.rung, running))
        length = self._lengths[rung]
        ready = [name for name in running if self.rung(name) == rung]
        accuracies = {name: _values(running[name])[length] for name in ready}
        for name in _in_turn(accuracies):
            trial = running[name]
            if rung == len(self._lengths) - 1:
                self._study.tell(trial, accuracies[name])
            elif trial.should_prune():
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                trial.set_user_attr(_RUNG, rung + 1)


def _in_turn(accuracies: dict[str, float]) -> list[str]:
    """The best, the worst and so on.

    Optuna's rule keeps a trial that is in the better half of those asked about before it, so in
    this order it keeps exactly the better half, or the best of less than four.
    """
    best_first = sorted(accuracies, key=lambda name: -accuracies[name])
    order = best_first[:1]
    rest = best_first[1:]
    while rest:
        order.append(rest.pop())
        if len(order) % 2 and rest:
            order.append(rest.pop(0))
    return order


def _frozen(trial: Trial) -> optuna.trial.FrozenTrial:
    return trial.study._storage.get_trial(trial._trial_id)


def _values(trial: Trial) -> dict[int, float]:
    return _frozen(trial).intermediate_values


def without_password(text: str) -> str:
    """``text`` with "***" for the passwords of the URLs in it."""
    return re.sub(r"(://[^:/@\s]*:)[^@/\s]*@", r"\1***@", text)


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """The database's errors in one sentence: BuildError."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise BuildError(
            f"the database '{without_password(storage)}' cannot be used ({_first_line(error)}); "
            "check the path and the space there, and give the same command again"
        ) from error


def _open_storage(storage: str) -> optuna.storages.BaseStorage:
    """Raises InputError for what is no database, and for one of another version."""
    from sqlalchemy.exc import ArgumentError

    try:
        return optuna.storages.get_storage(storage)
    except (ArgumentError, ImportError) as error:
        raise InputError(
            f"--storage '{without_password(storage)}' is no database that Optuna can use "
            f"({_first_line(error)}); give a URL like sqlite:///explore.db"
        ) from error
    except RuntimeError as error:
        raise InputError(
            f"the database '{without_password(storage)}' was made by another version of Optuna "
            f"than {optuna.__version__}; give another --output or --storage, or upgrade it with: "
            "optuna storage upgrade"
        ) from error


def _first_line(error: BaseException) -> str:
    return message_lines(error.__cause__ or error)[0]
