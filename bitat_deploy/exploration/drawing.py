"""The picture of an exploration: accuracy against latency, from its document."""

from collections.abc import Mapping, Sequence
from typing import Any

from bitat_deploy.exploration.candidates import FLOAT
from bitat_deploy.report import (
    Axis,
    Point,
    Points,
    Series,
    accuracy_interval,
    byte_size,
    duration,
)

MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # of the front's networks

Network = Mapping[str, Any]


def picture(document: Mapping[str, Any], title: str = "Accuracy against latency") -> Points:
    """Every network of full length, by its bits; the front and the budget."""
    networks = by_name(document)
    marks = dict(zip(document["front"], MARKS, strict=False))
    trained = [one for one in document["networks"] if comparable(one, document)]
    series: dict[str, list[Point]] = {}
    for one in trained:
        if one["milliseconds"] is not None:
            place = (one["milliseconds"], one["interval"])
            series.setdefault(one["series"], []).append(_point(one, *place, marks))
        for name, other in one["others"].items():
            place = (other["milliseconds"], other["interval"])
            series.setdefault(name, []).append(_point(one, *place, {}, name))
    budget = document["budget"]["milliseconds"]
    notes = [
        "Whiskers: for the accuracy the 99 % interval for the choice of validation images; "
        + _whiskers_of_latency(document),
        *_without_latency(trained),
    ]
    return Points(
        title,
        Axis(f"latency, ms ({origin(document)}, one thread)", logarithmic=True),
        Axis("validation accuracy", percent=True),
        [Series(name, points) for name, points in sorted(series.items(), key=_series_order)],
        front=[
            (networks[name]["milliseconds"], share(networks[name]["validation"]))
            for name in document["front"]
        ],
        limits=[] if budget is None else [(f"budget {duration(budget)}", budget)],
        notes=notes,
    )


def origin(document: Mapping[str, Any]) -> str:
    """Where latencies are from, in a word."""
    if document["modelled"]:
        return "modelled"
    return "EMULATED" if document["emulated"] else "measured"


def comparable(one: Network, document: Mapping[str, Any]) -> bool:
    """Whether it trained as long as the front did."""
    longest = by_name(document)[document["recommended"]]["epochs"]
    return one["validation"] is not None and one["epochs"] == longest


def by_name(document: Mapping[str, Any]) -> dict[str, Network]:
    """The networks of a document."""
    return {one["name"]: one for one in document["networks"]}


def share(score: Mapping[str, int]) -> float:
    """The accuracy of a score."""
    return score["right"] / score["images"]


def reach(score: Mapping[str, int]) -> str:
    """Its 99 % interval."""
    low, high = accuracy_interval(share(score), score["images"])
    return f"{100 * low:.0f} to {high:.0%}"


def accuracy(score: Mapping[str, int]) -> str:
    """The same with its interval."""
    low, high = accuracy_interval(share(score), score["images"])
    return f"{share(score):.1%} ({100 * low:.0f} to {high:.0%})"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: A, B and C."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _whiskers_of_latency(document: Mapping[str, Any]) -> str:
    if not document["modelled"]:
        return f"for the latency {document['latency_from']}."
    return (
        f"for the latency what it would be if the model were as far off as it was before "
        f"({document['latency_from']})."
    )


def _without_latency(trained: Sequence[Network]) -> list[str]:
    floats = [one for one in trained if one["series"] == FLOAT and one["milliseconds"] is None]
    if not floats:
        return []
    best = max(floats, key=lambda one: share(one["validation"]))
    return [
        f"In float32, whose latency is not known here, the best is {best['name']}: "
        f"{accuracy(best['validation'])}."
    ]


def _point(
    one: Network,
    milliseconds: float,
    interval: Sequence[float] | None,
    marks: Mapping[str, str],
    runtime: str = "",
) -> Point:
    score = one["validation"]
    known = one["size_bytes"] is not None and not runtime
    size = f", {byte_size(one['size_bytes'])}" if known else ""
    what = f"{one['name']} in {runtime}" if runtime else one["name"]
    return Point(
        milliseconds,
        share(score),
        None if interval is None else (interval[0], interval[1]),
        accuracy_interval(share(score), score["images"]),
        marks.get(one["name"], ""),
        f"{what}: {duration(milliseconds)}, {accuracy(score)}{size}",
    )


def _series_order(item: tuple[str, Any]) -> tuple[int, str]:
    name = item[0]
    return (0 if name.startswith("W") else 1, name)
