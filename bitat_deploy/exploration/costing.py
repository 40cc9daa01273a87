"""What every candidate costs, before any is trained, and which of them the budget allows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bitat_deploy.errors import InputError
from bitat_deploy.exploration.candidates import Candidate
from bitat_deploy.exploration.costs import Budget, Cost, CostFile
from bitat_deploy.exploration.modelled import modelled_cost
from bitat_deploy.exploration.pool import Job, Workers
from bitat_deploy.exploration.recipes import candidate_recipe
from bitat_deploy.exploration.setting import Setting
from bitat_deploy.progress import Progress


def model_costs(
    setting: Setting, file: CostFile, workers: Workers, progress: Progress
) -> dict[str, Cost]:
    """Of all candidates but those in float32, by the cycle model; known ones are not found anew.

    Raises InputError where there is no model of the target; OutOfTimeError.
    """
    wanted = {one.name: one for one in setting.candidates if one.bits is not None}

    def job(name: str, one: Candidate) -> Job:
        recipe = candidate_recipe(one, setting.images, 1, Path("twin"))
        classes = setting.survey.class_names
        arguments = (recipe, setting.input_shape(one), classes, setting.target)
        return Job(name, modelled_cost, arguments)

    def done(job: Job, cost: Cost) -> None:
        file.add(job.name, cost)
        timing = "" if cost.timing is None else f": {cost.timing.milliseconds:.3g} ms, modelled"
        known = len(wanted.keys() & file.costs.keys())
        progress(f"{job.name}{timing}", known, len(wanted))

    workers.run(lambda: [job(*one) for one in wanted.items() if one[0] not in file.costs], done)
    return file.costs


def within_budget(
    candidates: Sequence[Candidate], costs: Mapping[str, Cost], budget: Budget
) -> list[Candidate]:
    """Those that may meet the budget, and the float32 ones of their shapes.

    What exceeds it by less than the error of its latency is among them. Raises InputError where
    nothing does.
    """
    quantized = [one for one in candidates if one.name in costs]
    known = [one for one in quantized if not costs[one.name].failure]
    if not known:
        failures = [costs[one.name].failure for one in quantized]
        raise InputError(f"no candidate can be built; the first: {failures[0]}")
    fitting = [one for one in known if not budget.excess(costs[one.name], certain=True)]
    if not fitting:
        raise InputError(_least(known, costs, budget))
    shapes = {one.twin for one in fitting}
    return [*fitting, *(one for one in candidates if one.bits is None and one.twin in shapes)]


def _milliseconds(cost: Cost) -> float | None:
    return None if cost.timing is None else cost.timing.milliseconds


def _least(known: Sequence[Candidate], costs: Mapping[str, Cost], budget: Budget) -> str:
    """What the least of all candidates needs."""

    def least(value: Callable[[Cost], float | None]) -> tuple[str, float]:
        values = {one.name: value(costs[one.name]) for one in known}
        found = {name: number for name, number in values.items() if number is not None}
        name = min(found, key=lambda name: found[name])
        return name, found[name]

    parts = []
    if budget.milliseconds is not None:
        name, number = least(_milliseconds)
        how = costs[name].origin
        parts.append(
            f"the fastest, {name}, takes {number:.3g} ms ({how}), {budget.milliseconds:g} are "
            "allowed (--budget)"
        )
    if budget.memory_bytes is not None:
        name, number = least(lambda cost: cost.memory_bytes)
        parts.append(
            f"the one of least memory, {name}, needs {number:,.0f} bytes, "
            f"{budget.memory_bytes:,} are allowed (--budget-memory)"
        )
    if budget.size_bytes is not None:
        name, number = least(lambda cost: cost.size_bytes)
        parts.append(
            f"the smallest, {name}, has {number:,.0f} bytes, {budget.size_bytes:,} are allowed "
            "(--budget-size)"
        )
    return (
        f"no candidate meets the budget: {'; '.join(parts)}; allow more, or give smaller networks "
        "with --candidates"
    )
