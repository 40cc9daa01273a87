"""A tuning run: from a network and the devices to records."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits
from bitat_deploy.cycle_model import model_error
from bitat_deploy.device import LOCAL as LOCAL_HOST
from bitat_deploy.device import Connection
from bitat_deploy.errors import BitatDeployError, InputError
from bitat_deploy.network import NOTHING, Supplement
from bitat_deploy.records import DEVICE, EMULATED, LOCAL, MODEL
from bitat_deploy.target import Target
from bitat_deploy.tuning.building import Builder
from bitat_deploy.tuning.log import RecordLog, WorkloadSummary, summarize
from bitat_deploy.tuning.measurement import measuring_program
from bitat_deploy.tuning.on_devices import check_devices, tune_on_devices
from bitat_deploy.tuning.options import TuneOptions
from bitat_deploy.tuning.session import (
    Progress,
    Session,
    model_jobs,
    model_origin,
    tune_by_model,
)
from bitat_deploy.tuning.task import Task, expected_answers, network_layers, tuning_tasks
from bitat_deploy.tuning.work import Work
from bitat_deploy.tuning.workers import worker_processes

MODEL_HOST = "model"


@dataclass(frozen=True)
class Tuned:
    """The result of a run. ``failed`` maps hosts that dropped out to their errors.

    ``modelled`` says how far the cycle model was off; empty where devices measured.
    """

    summaries: tuple[WorkloadSummary, ...]
    log: RecordLog
    candidates: int
    resumed: int
    unsteady: int
    failed: dict[str, BitatDeployError]
    modelled: str = ""


def tune(
    model: Path,
    target: Target,
    hosts: Sequence[str],
    records: Path,
    connect: Callable[[str], Connection],
    options: TuneOptions,
    progress: Progress,
    status: Callable[[str], None] = lambda message: None,
    supplement: Supplement = NOTHING,
    limits: Limits = DEFAULT_LIMITS,
) -> Tuned:
    """Tune the layers of the ONNX file ``model`` and append to the file ``records``.

    ``hosts`` are devices to share the work, or ``model`` alone; ``supplement`` is as for
    :func:`bitat_deploy.foreign.load_network`. Raises InputError, UnsupportedOperatorError,
    BuildError; a device's error where none is left to do the work.
    """
    _check_hosts(hosts, target)
    log = RecordLog(records, target)
    by_model = MODEL_HOST in hosts
    origin = model_origin(target) if by_model else None
    if not by_model:
        status("asking the devices what they are")
        check_devices(hosts, connect, target, force=options.force)
    status("reading the network")
    layers = network_layers(model, target, supplement, limits)
    tasks = tuning_tasks(layers)
    if not tasks:
        raise InputError(
            f"no layer of '{model}' leaves a choice on target '{target.name}', so there is "
            "nothing to tune"
        )
    sources = {MODEL} if by_model else {DEVICE, LOCAL, EMULATED}
    known = [] if options.again else log.known(sources)
    with worker_processes(options.jobs) as pool:

        def work(prepare: Callable[[Task, tuple[Any, ...]], Any]) -> Work:
            return Work(tasks, options.trials, options.seed, known, prepare)

        if origin is not None:
            session = Session(work(model_jobs(pool)), log, {}, options.effort, progress)
            tune_by_model(session, origin)
            tuned = _result(tasks, session, sources, {})
            return replace(tuned, modelled=model_error(target).sentence)
        program = measuring_program(target, status)
        builder = Builder(pool)
        # Building while this machine measures would disturb it.
        ahead = LOCAL_HOST not in hosts
        queue = work(builder if ahead else lambda task, schedules: None)
        status("computing the expected answers")
        checks = expected_answers(layers, queue.workloads(), options.seed)
        session = Session(queue, log, checks, options.effort, progress)
        failed = tune_on_devices(
            session, builder, hosts, connect, target, program, force=options.force
        )
    if len(failed) == len(hosts) or queue.workloads():
        raise next(iter(failed.values()))
    return _result(tasks, session, sources, failed)


def _result(
    tasks: Sequence[Task], session: Session, sources: set[str], failed: dict[str, BitatDeployError]
) -> Tuned:
    work, log = session.work, session.log
    return Tuned(
        tuple(summarize(tasks, log.records, sources)),
        log,
        work.total - work.resumed,
        work.resumed,
        session.unsteady,
        failed,
    )


def _check_hosts(hosts: Sequence[str], target: Target) -> None:
    for alone in (LOCAL_HOST, MODEL_HOST):
        if alone in hosts and len(hosts) > 1:
            raise InputError(f"--host {alone} cannot share the work with others; use it by itself")
    if LOCAL_HOST in hosts and target.architecture != platform.machine():
        raise InputError(
            f"target '{target.name}' is for {target.architecture}, this machine is "
            f"{platform.machine()}; name a board with --host user@device, or take --host model"
        )
    if len(set(hosts)) != len(hosts):
        raise InputError("--host names a device twice; once is enough")
    if target.is_static and MODEL_HOST not in hosts:
        raise InputError(
            f"target '{target.name}' has no shared libraries, so candidates cannot be loaded on "
            "the device; tune for another target"
        )
