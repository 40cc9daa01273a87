"""One exploration in one folder: starts it, or goes on where it was stopped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitat_deploy.device import connect as connect_to
from bitat_deploy.errors import InputError
from bitat_deploy.exploration import choice
from bitat_deploy.exploration.boards import Connect, find_target, measure_costs
from bitat_deploy.exploration.candidates import Candidate, load_space
from bitat_deploy.exploration.choice import Chosen, Row
from bitat_deploy.exploration.costing import model_costs, within_budget
from bitat_deploy.exploration.costs import Budget, Cost, CostFile
from bitat_deploy.exploration.halving import Standing
from bitat_deploy.exploration.plan import PlanFile, subject_of
from bitat_deploy.exploration.pool import Clock, OutOfTimeError, Workers
from bitat_deploy.exploration.recipes import candidate_recipe
from bitat_deploy.exploration.setting import (
    ExploreOptions,
    Setting,
    read_candidates,
    read_pictures,
)
from bitat_deploy.exploration.training_runs import TrainingRuns, open_halving
from bitat_deploy.exploration.work import CHECKPOINT, Score, test_run
from bitat_deploy.host_system import usable_cores
from bitat_deploy.progress import Progress, silent
from bitat_deploy.target import Target, load_target
from bitat_deploy.tuning import worker_processes

PLAN, COSTS = "plan.json", "costs.json"


@dataclass(frozen=True)
class Exploration:
    """What came of it: ``rows`` of all candidates, of which ``chosen`` takes some.

    ``epochs`` is the full length of a run, ``seconds`` the time of all commands together;
    ``complete``: the time sufficed.
    """

    setting: Setting
    rows: tuple[Row, ...]
    chosen: Chosen
    epochs: int
    seconds: float
    complete: bool

    def checkpoint(self, row: Row) -> Path:
        """Of a row's longest run."""
        return self.setting.run_folder(row.candidate, row.epochs) / CHECKPOINT

    def recipe(self, row: Row) -> dict[str, Any]:
        """Of the same, as plain values; it begins at the shape's twin in the output folder."""
        twin = self.setting.twin_checkpoint(row.candidate)
        return candidate_recipe(row.candidate, self.setting.images, row.epochs, twin)


def explore(
    options: ExploreOptions, progress: Progress = silent, connect: Connect = connect_to
) -> Exploration:
    """Cost the candidates, train those that the budget allows by halving, and choose.

    The same call goes on where a stopped one was. ``connect`` opens the connection to a host.
    Raises InputError for bad input, or a budget that nothing meets; BuildError where the database
    cannot be used; a board's error where none is left; OSError.
    """
    space = load_space(options.candidates)
    candidates, left_out = read_candidates(space)
    survey = read_pictures(options, space)
    options.output.mkdir(parents=True, exist_ok=True)
    where = options.target.name if options.target and not options.hosts else "boards"
    subject = subject_of(space, (*survey.training, *survey.test), where)
    plan = PlanFile(options.output / PLAN, subject)
    target = _target(options, plan, connect)
    setting = Setting(options, target, space, survey, candidates, left_out)
    clock = Clock(plan.value.seconds, options.seconds)
    file = CostFile(options.output / COSTS)
    threads = max(usable_cores() // options.jobs, 1)

    def tell(what: str, done: int, total: int) -> None:
        plan.update(seconds=round(clock.used, 1))  # a kill loses no more than this
        progress(what, done, total)

    complete = True
    try:
        with worker_processes(options.jobs) as pool:
            workers = Workers(pool, options.jobs, threads, clock)
            if options.hosts:
                costs = measure_costs(setting, file, workers, connect, tell)
            else:
                costs = model_costs(setting, file, workers, tell)
            allowed = within_budget(candidates, costs, options.budget)
            TrainingRuns(setting, plan, workers, tell, allowed, costs).run()
    except OutOfTimeError:
        complete = False
    finally:
        plan.update(seconds=round(clock.used, 1))
    rows = _rows(setting, plan, file.costs)
    chosen = choice.choose(rows, options.budget)
    if not chosen.front:
        raise InputError(
            "time ran out before any network was trained; run the same command again with a "
            "longer --time: it continues where it stopped"
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
    return Exploration(setting, rows, chosen, plan.value.epochs, clock.used, complete)


def _target(options: ExploreOptions, plan: PlanFile, connect: Connect) -> Target:
    """What to build for. It is kept: the boards need not be there when training goes on."""
    if options.target is not None:
        target = options.target
    elif plan.value.target:
        target = load_target(plan.value.target)
    else:
        target = find_target(options.hosts, connect)
    if plan.value.target not in ("", target.name):
        raise InputError(
            f"'{options.output}' holds an exploration for target '{plan.value.target}'; give "
            "another --output"
        )
    plan.update(target=target.name)
    return target


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
