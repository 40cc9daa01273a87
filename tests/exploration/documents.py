"""Rows of an exploration, and the document that tells of them."""

from typing import Any

from bitat_deploy.exploration.candidates import Bits, Candidate, Shape
from bitat_deploy.exploration.choice import FINISHED, Row
from bitat_deploy.exploration.costs import Cost, Timing
from bitat_deploy.exploration.work import Score

SHAPE = Shape("mobilenet-v1", "chain", 32, ((64, 1),))


def row(name: str, milliseconds: float | None, right: int, epochs: int = 8, bits: int = 1) -> Row:
    candidate = Candidate(name, SHAPE, 1.0, 96, Bits(bits, bits) if bits else None)
    timing = (
        None if milliseconds is None else Timing(milliseconds, (milliseconds, 2 * milliseconds))
    )
    cost = Cost("modelled", timing, 3000, 1000)
    return Row(candidate, cost, FINISHED, epochs, Score(right, 100))


ROWS = (
    row("slow", 4.0, 90),
    row("best", 2.0, 80, bits=2),
    row("worse", 1.5, 60),
    row("same", 1.0, 75),
    row("short", 0.5, 95, epochs=4),
    row("fast", 0.1, 40),
    row("real", None, 99, bits=0),
)

CANDIDATE = ROWS[0].candidate


def exploration() -> dict[str, Any]:
    """What is written as report.json."""
    networks = []
    for one in ROWS:
        timing = one.cost.timing
        score = one.validation
        assert score is not None
        networks.append(
            {
                "name": one.candidate.shape_name,
                "series": one.candidate.series,
                "state": one.state,
                "reason": "",
                "epochs": one.epochs,
                "memory_bytes": 3000,
                "size_bytes": 1000,
                "milliseconds": timing and timing.milliseconds,
                "interval": timing and timing.interval,
                "validation": {"right": score.right, "images": score.images},
                "test": None,
                "others": {},
            }
        )
    return {
        "schema_version": 1,
        "command": "bitat-deploy explore",
        "pictures": {
            "name": "photos",
            "classes": ["a", "b"],
            "training": 300,
            "validation": 100,
            "test": 100,
        },
        "target": {"name": "rpi4", "description": "a board", "clock_mhz": 1500},
        "modelled": True,
        "boards": ["modelled"],
        "doubts": [],
        "emulated": False,
        "latency_from": "other programs took twice the cycles",
        "budget": {"milliseconds": 3.0, "memory_bytes": None, "size_bytes": None},
        "epochs": 8,
        "seconds": 100,
        "jobs": 2,
        "cores": 2,
        "complete": True,
        "networks": networks,
        "front": ["fast", "same", "best"],
        "recommended": "best",
        "left_out": {"nonsense": "it makes no sense"},
    }
