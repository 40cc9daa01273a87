"""All training of an exploration: a twin for each shape, then the candidates by halving."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitat_deploy.errors import BitatDeployError, InputError
from bitat_deploy.exploration.candidates import Candidate
from bitat_deploy.exploration.costs import Cost
from bitat_deploy.exploration.halving import Halving, cell_of, storage_errors
from bitat_deploy.exploration.plan import LEAST_EPOCHS, PlanFile, affordable
from bitat_deploy.exploration.pool import Job, Workers
from bitat_deploy.exploration.recipes import candidate_recipe, twin_recipe
from bitat_deploy.exploration.setting import Setting
from bitat_deploy.exploration.work import Score, is_trained, train_run, training_speed
from bitat_deploy.progress import Progress
from bitat_deploy.training import TrainingDivergedError

DATABASE = "explore.db"
_SHARE_OF_TWINS = 0.4  # of the time


class TrainingRuns:
    """Trains ``candidates``, whose ``costs`` decide who is whose rival."""

    def __init__(
        self,
        setting: Setting,
        plan: PlanFile,
        workers: Workers,
        progress: Progress,
        candidates: Sequence[Candidate],
        costs: Mapping[str, Cost],
    ) -> None:
        self._setting, self._plan, self._workers = setting, plan, workers
        self._progress, self._candidates, self._costs = progress, candidates, costs
        self._shapes = {one.twin: one for one in candidates}
        self._speeds: dict[str, float] = {}  # seconds of an epoch in one worker, by shape
        self._twins: set[str] = set()  # trained
        self._began = time.monotonic()
        self._worked = 0.0  # seconds in this command, as the speeds have it
        self._known: dict[str, bool] = {}  # whether earlier commands finished a run, by its name

    def run(self) -> None:
        """All of it, or what was left of it. Raises OutOfTimeError; InputError; what training
        raises about a disk that is full."""
        self._find_speeds()
        self._train_twins()
        with storage_errors(database(self._setting)):
            self._train_candidates()

    def _find_speeds(self) -> None:
        setting = self._setting
        images = sum(setting.survey.training) - setting.images.validation
        classes = len(setting.survey.class_names)

        def job(name: str, one: Candidate) -> Job:
            recipe = twin_recipe(one, setting.images, LEAST_EPOCHS)
            shape = setting.input_shape(one)
            return Job(name, training_speed, (recipe, shape, classes, self._workers.threads))

        def done(job: Job, seconds: float) -> None:
            self._speeds[job.name] = seconds * images
            self._progress("how long training takes", len(self._speeds), len(self._shapes))

        self._workers.run(
            lambda: [job(*one) for one in self._shapes.items() if one[0] not in self._speeds], done
        )

    def _train_twins(self) -> None:
        setting, plan = self._setting, self._plan
        if not plan.value.twin_epochs:
            plan.update(
                twin_epochs=affordable(
                    setting.space.training.epochs,
                    self._left(_SHARE_OF_TWINS),
                    sum(self._speeds.values()) / self._workers.count,
                )
            )
        epochs = plan.value.twin_epochs

        def job(name: str, one: Candidate) -> Job:
            recipe = twin_recipe(one, setting.images, epochs)
            folder = self._looked_at(name, setting.twin_folder(one))
            arguments = (recipe, setting.options.data, folder, self._workers.threads)
            return Job(name, train_run, arguments)

        def done(job: Job, score: Score) -> None:
            self._twins.add(job.name)
            self._count(job, self._speeds[job.name] * epochs)
            self._tell(f"{job.name} in full precision: validation {score.accuracy:.1%}")

        longest_first = sorted(self._shapes.items(), key=lambda one: -self._speeds[one[0]])
        self._workers.run(
            lambda: [job(*one) for one in longest_first if one[0] not in self._twins], done
        )

    def _train_candidates(self) -> None:
        setting, plan = self._setting, self._plan
        if not plan.value.epochs:
            # A candidate of average luck trains three quarters of the epochs in all.
            per_epoch = sum(self._speeds[one.twin] for one in self._candidates)
            plan.update(
                epochs=affordable(
                    setting.space.training.epochs,
                    self._left(1.0),
                    0.75 * per_epoch / self._workers.count,
                )
            )
        self._halving = halving = open_halving(setting, plan, self._candidates, self._costs)
        by_name = {one.name: one for one in self._candidates}

        def job(one: Candidate, epochs: int) -> Job:
            checkpoint = setting.twin_checkpoint(one)
            recipe = candidate_recipe(one, setting.images, epochs, checkpoint)
            name = f"{one.name} {epochs}"
            folder = self._looked_at(name, setting.run_folder(one, epochs))
            arguments = (recipe, setting.options.data, folder, self._workers.threads)
            return Job(name, train_run, arguments)

        def done(job: Job, score: Score) -> None:
            name, _, epochs = job.name.partition(" ")
            halving.report(by_name[name], score)
            self._count(job, self._speeds[by_name[name].twin] * int(epochs))
            self._tell(
                f"{name}, {epochs} of {plan.value.epochs} epochs: validation {score.accuracy:.1%}"
            )

        def failed(job: Job, error: BitatDeployError) -> None:
            if not isinstance(error, InputError | TrainingDivergedError):
                raise error  # such as a full disk, which is no candidate's fault
            name = job.name.partition(" ")[0]
            halving.fail(by_name[name], str(error))
            self._tell(f"{name} failed: {error}")

        self._workers.run(lambda: [job(*one) for one in halving.waiting()], done, failed)

    def _left(self, share: float) -> float | None:
        left = self._workers.clock.left
        return None if left is None else left * share

    def _looked_at(self, name: str, folder: Path) -> Path:
        """The ``folder`` of a run, after a look whether it needs no work."""
        self._known.setdefault(name, is_trained(folder))
        return folder

    def _count(self, job: Job, seconds: float) -> None:
        if not self._known[job.name]:
            self._worked += seconds

    def _tell(self, what: str) -> None:
        """Progress with the time left, by how long each shape's epochs and all so far took."""
        ahead = 0.0
        for name in self._shapes.keys() - self._twins:
            ahead += self._speeds[name] * self._plan.value.twin_epochs
        epochs = self._plan.value.epochs or self._plan.value.twin_epochs
        for one in self._candidates:
            expected = (
                0.75 * epochs if self._halving is None else self._halving.expected_epochs(one)
            )
            ahead += self._speeds[one.twin] * expected
        if self._worked and ahead:
            left = ahead * (time.monotonic() - self._began) / self._worked
            what += f"; about {math.ceil(left / 60)} min left"
        self._progress(what, round(self._worked), round(self._worked + ahead))

    _halving: Halving | None = None


def database(setting: Setting) -> str:
    """The URL of the trials' database."""
    path = setting.options.output.absolute() / DATABASE
    return setting.options.storage or f"sqlite:///{path}"


def open_halving(
    setting: Setting,
    plan: PlanFile,
    candidates: Sequence[Candidate],
    costs: Mapping[str, Cost],
) -> Halving:
    """The state of the training of ``candidates`` in the exploration's database."""
    cells: dict[str, list[Candidate]] = {}
    for one in candidates:
        cells.setdefault(cell_of(one, costs.get(one.name)), []).append(one)
    return Halving(
        database(setting),
        plan.value.owner,
        cells,
        plan.value.epochs,
        plan.value.subject,
        tuple(setting.space.shapes),
    )
