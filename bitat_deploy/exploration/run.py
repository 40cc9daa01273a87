"""One exploration in one folder: starts it, or goes on where it was stopped."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitat_deploy.cycle_model import model_error
from bitat_deploy.errors import InputError
from bitat_deploy.exploration import choice
from bitat_deploy.exploration.candidates import Candidate
from bitat_deploy.exploration.choice import Chosen, Row
from bitat_deploy.exploration.costing import model_costs, within_budget
from bitat_deploy.exploration.costs import Budget, Cost, CostFile
from bitat_deploy.exploration.halving import Standing
from bitat_deploy.exploration.plan import PlanFile, subject_of
from bitat_deploy.exploration.pool import Clock, OutOfTimeError, Workers
from bitat_deploy.exploration.recipes import candidate_recipe
from bitat_deploy.exploration.setting import ExploreOptions, Setting, read_setting
from bitat_deploy.exploration.training_runs import TrainingRuns, open_halving
from bitat_deploy.exploration.work import CHECKPOINT, Score, test_run
from bitat_deploy.progress import Progress, silent
from bitat_deploy.tuning import worker_processes

PLAN, COSTS = "plan.json", "costs.json"


@dataclass(frozen=True)
class Exploration:
    """What came of it: ``rows`` of all candidates, of which ``chosen`` takes some.

    ``epochs`` is the full length of a run, ``seconds`` the time of all commands together;
    ``complete``: the time sufficed. ``latency_from`` is a sentence on the latencies' errors.
    """

    setting: Setting
    rows: tuple[Row, ...]
    chosen: Chosen
    epochs: int
    seconds: float
    complete: bool
    latency_from: str

    def checkpoint(self, row: Row) -> Path:
        """Of a row's longest run."""
        return self.setting.run_folder(row.candidate, row.epochs) / CHECKPOINT

    def recipe(self, row: Row) -> dict[str, Any]:
        """Of the same, as plain values; it begins at the shape's twin in the output folder."""
        twin = self.setting.twin_checkpoint(row.candidate)
        return candidate_recipe(row.candidate, self.setting.images, row.epochs, twin)


def explore(options: ExploreOptions, progress: Progress = silent) -> Exploration:
    """Cost the candidates, train those that the budget allows by halving, and choose.

    The same call goes on where a stopped one was. Raises InputError for bad input, or a budget
    that nothing meets; BuildError where the database cannot be used, OSError.
    """
    setting = read_setting(options)
    survey = setting.survey
    options.output.mkdir(parents=True, exist_ok=True)
    subject = subject_of(setting.space, (*survey.training, *survey.test), options.target.name)
    plan = PlanFile(options.output / PLAN, subject)
    clock = Clock(plan.value.seconds, options.seconds)
    file = CostFile(options.output / COSTS)
    threads = max(len(os.sched_getaffinity(0)) // options.jobs, 1)
    complete = True
    try:
        with worker_processes(options.jobs) as pool:
            workers = Workers(pool, options.jobs, threads, clock)
            costs = model_costs(setting, file, workers, progress)
            candidates = within_budget(setting.candidates, costs, options.budget)
            TrainingRuns(setting, plan, workers, progress, candidates, costs).run()
    except OutOfTimeError:
        complete = False
    finally:
        plan.update(seconds=round(clock.used, 1))
    rows = _rows(setting, plan, file.costs)
    chosen = choice.choose(rows, options.budget)
    if not chosen.front:
        raise InputError(
            "the time was over before any network was trained; run the same command again with a "
            "longer --time, and it goes on"
        )
    scores: dict[str, Score] = {}
    with worker_processes(1) as pool:
        for number, row in enumerate(chosen.front):
            one = row.candidate
            progress(f"testing {one.name}", number, len(chosen.front))
            folder = setting.run_folder(one, row.epochs)
            scores[one.name] = pool.submit(test_run, options.data, folder, threads).result()
    chosen = choice.with_test(chosen, scores)
    tested = {row.candidate.name: row for row in chosen.front}
    rows = tuple(tested.get(row.candidate.name, row) for row in rows)
    error = model_error(options.target)
    return Exploration(
        setting, rows, chosen, plan.value.epochs, clock.used, complete, error.sentence
    )


def _rows(setting: Setting, plan: PlanFile, costs: dict[str, Cost]) -> tuple[Row, ...]:
    """What is known of every candidate."""
    standings: dict[str, Standing] = {}
    if plan.value.epochs:
        trained = within_budget(setting.candidates, costs, setting.options.budget)
        halving = open_halving(setting, plan, trained, costs)
        standings = {one.candidate.name: one for one in halving.standings()}
    return tuple(
        _row(one, costs.get(one.name), standings.get(one.name), plan, setting.options.budget)
        for one in setting.candidates
    )


def _row(
    one: Candidate,
    cost: Cost | None,
    standing: Standing | None,
    plan: PlanFile,
    budget: Budget,
) -> Row:
    cost = cost or Cost(origin="")
    if standing is None:
        excess = budget.excess(cost)
        if cost.failure:
            return Row(one, cost, choice.FAILED, reason=cost.failure)
        if excess:
            return Row(one, cost, choice.OVER_BUDGET, reason=f"it needs {excess}")
        return Row(one, cost, choice.WAITING)
    state = choice.FINISHED if standing.epochs == plan.value.epochs else choice.WAITING
    if standing.stopped:
        state = choice.FAILED if standing.failure else choice.STOPPED
    return Row(one, cost, state, standing.epochs, standing.score, reason=standing.failure)
