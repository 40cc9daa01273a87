"""What an exploration found, as a JSON document, from which page and table are made."""

from typing import Any

from bitat_deploy.cycle_model import model_error
from bitat_deploy.exploration.choice import Row
from bitat_deploy.exploration.halving import without_password
from bitat_deploy.exploration.run import Exploration
from bitat_deploy.exploration.work import Score
from bitat_deploy.host_system import usable_cores
from bitat_deploy.version import __version__

SCHEMA_VERSION = 1
Document = dict[str, Any]


def exploration_document(found: Exploration, command: str = "") -> Document:
    """Plain values for JSON. Accuracies are numbers of images that were answered rightly."""
    setting, survey = found.setting, found.setting.survey
    options = setting.options
    validation = setting.images.validation
    doubts = sorted({doubt for row in found.rows for doubt in row.cost.doubts})
    target = setting.target
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "command": without_password(command),
        "pictures": {
            "name": options.data.resolve().name,
            "classes": list(survey.class_names),
            "training": sum(survey.training) - validation,
            "validation": validation,
            "test": sum(survey.test),
        },
        "target": {
            "name": target.name,
            "description": target.description,
            "clock_mhz": target.clock_mhz,
        },
        "modelled": not options.hosts,
        "boards": sorted({row.cost.origin for row in found.rows if row.cost.origin}),
        "doubts": doubts,
        "emulated": any(row.cost.emulated for row in found.rows),
        "latency_from": _latency_from(found),
        "budget": {
            "milliseconds": options.budget.milliseconds,
            "memory_bytes": options.budget.memory_bytes,
            "size_bytes": options.budget.size_bytes,
        },
        "epochs": found.epochs,
        "seconds": round(found.seconds),
        "jobs": options.jobs,
        "cores": usable_cores(),
        "complete": found.complete,
        "networks": [_network(row) for row in found.rows],
        "front": [row.candidate.name for row in found.chosen.front],
        "recommended": found.chosen.front[-1].candidate.name,
        "left_out": found.setting.left_out,
    }


def _latency_from(found: Exploration) -> str:
    """A sentence on the latencies' intervals."""
    if found.setting.options.hosts:
        return "99 % intervals of the medians, by bootstrap; they know one session alone"
    return model_error(found.setting.target).sentence


def _network(row: Row) -> Document:
    one, timing = row.candidate, row.cost.timing
    entry: Document = {
        "name": one.name,
        "shape": one.shape_name,
        "width": one.width,
        "image_size": one.image_size,
        "series": one.series,
        "state": row.state,
        "reason": row.reason,
        "epochs": row.epochs,
        "memory_bytes": row.cost.memory_bytes,
        "size_bytes": row.cost.size_bytes,
        "milliseconds": None if timing is None else timing.milliseconds,
        "interval": None if timing is None else timing.interval,
        "validation": _score(row.validation),
        "test": _score(row.test),
        "others": {
            name: {"milliseconds": other.milliseconds, "interval": other.interval}
            for name, other in row.cost.others.items()
        },
    }
    return entry


def _score(score: Score | None) -> Document | None:
    return None if score is None else {"right": score.right, "images": score.images}
