"""An exploration's document as a report: the recommendation, the picture, the tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from bitat_deploy.report import (
    Axis,
    Banner,
    Cell,
    Column,
    Fact,
    Facts,
    Point,
    Points,
    Report,
    Series,
    Table,
    Tone,
    accuracy_interval,
    byte_size,
    duration,
    proportions_differ,
)

_FLOAT = "float"
_MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Network = Mapping[str, Any]


def recommendation(document: Mapping[str, Any]) -> str:
    """One sentence: which network, how accurate, how fast, how large."""
    chosen = _by_name(document)[document["recommended"]]
    budget = document["budget"]["milliseconds"]
    within = "" if budget is None else f" within {duration(budget)}"
    of_what = " of weights" if document["modelled"] else ""
    return (
        f"Take {chosen['name']}{within}: {_accuracy(chosen['validation'])} of the validation "
        f"images right, {_latency(chosen, document)}, {byte_size(chosen['size_bytes'])}{of_what}."
    )


def exploration_report(document: Mapping[str, Any]) -> Report:
    """All of it for a page or a terminal."""
    networks = _by_name(document)
    front = [networks[name] for name in document["front"]]
    chosen = networks[document["recommended"]]
    pictures, target = document["pictures"], document["target"]
    how = "modelled" if document["modelled"] else "measured"
    figures = [
        (chosen["series"], "bits of the recommended network"),
        (f"{_share(chosen['validation']):.1%}", "validation accuracy"),
        (duration(chosen["milliseconds"]), f"latency, {how}"),
        (byte_size(chosen["size_bytes"]), "size"),
    ]
    return Report(
        title=f"Which network for {target['name']} and {pictures['name']}",
        subtitle=recommendation(document),
        banner=_banner(document),
        figures=figures,
        sections=[
            picture(document),
            _front_table(document, front),
            _facts(document),
            *_other_tables(document),
        ],
    )


def _banner(document: Mapping[str, Any]) -> Banner | None:
    """What makes measured times doubtful."""
    if not document["doubts"]:
        return None
    return Banner(
        "NOT TRUSTWORTHY",
        "Do not choose by these latencies:",
        Tone.BAD,
        tuple(document["doubts"]),
    )


def picture(document: Mapping[str, Any], title: str = "Accuracy against latency") -> Points:
    """Every network of full length, by its bits; the front and the budget."""
    networks = _by_name(document)
    marks = dict(zip(document["front"], _MARKS, strict=False))
    trained = [one for one in document["networks"] if _comparable(one, document)]
    series: dict[str, list[Point]] = {}
    for one in trained:
        if one["milliseconds"] is not None:
            place = (one["milliseconds"], one["interval"])
            series.setdefault(one["series"], []).append(_point(one, *place, marks))
        for name, other in one["others"].items():
            place = (other["milliseconds"], other["interval"])
            series.setdefault(name, []).append(_point(one, *place, {}, name))
    how = "modelled" if document["modelled"] else "measured"
    budget = document["budget"]["milliseconds"]
    notes = [
        "Whiskers: 99 % interval of the accuracy on the validation images; of the latency "
        + document["latency_from"],
        *_without_latency(trained, document),
    ]
    return Points(
        title,
        Axis(f"latency, ms ({how}, one thread)", logarithmic=True),
        Axis("validation accuracy", percent=True),
        [Series(name, points) for name, points in sorted(series.items(), key=_series_order)],
        front=[
            (networks[name]["milliseconds"], _share(networks[name]["validation"]))
            for name in document["front"]
        ],
        limits=[] if budget is None else [(f"budget {duration(budget)}", budget)],
        notes=notes,
    )


def alike(document: Mapping[str, Any]) -> list[str]:
    """Those of the front from which the recommended network does not differ in accuracy."""
    networks = _by_name(document)
    chosen = networks[document["recommended"]]
    return [name for name in document["front"][:-1] if not _differ(networks[name], chosen)]


def rivals(document: Mapping[str, Any]) -> list[str]:
    """What in another runtime is at least as good as the recommended network: no reason to use
    bitat-deploy."""
    networks = _by_name(document)
    chosen = networks[document["recommended"]]
    found = []
    for one in document["networks"]:
        if not _comparable(one, document) or _share(one["validation"]) < _share(
            chosen["validation"]
        ):
            continue
        others = dict(one["others"])
        if one["series"] == _FLOAT and one["milliseconds"] is not None:
            others["float32, ONNX Runtime"] = one
        for name, other in others.items():
            if other["milliseconds"] <= chosen["milliseconds"]:
                found.append(
                    f"{one['name']} in {name} is at least as good ({_accuracy(one['validation'])}, "
                    f"{duration(other['milliseconds'])}): take that instead."
                )
    return found


def _differ(one: Network, other: Network) -> bool:
    first, second = one["validation"], other["validation"]
    images = (first["images"], second["images"])
    return proportions_differ(_share(first), _share(second), images)


def _front_table(document: Mapping[str, Any], front: Sequence[Network]) -> Table:
    columns = [
        Column(""),
        Column("network", fold=True),
        Column("bits"),
        *(Column(name, number=True) for name in ("latency", "validation", "test", "size")),
        Column("memory", number=True, pages_only=True),
    ]
    rows = [
        [
            mark,
            Cell(
                one["name"], Tone.STRONG if one["name"] == document["recommended"] else Tone.PLAIN
            ),
            one["series"],
            duration(one["milliseconds"]),
            _accuracy(one["validation"]),
            "-" if one["test"] is None else _accuracy(one["test"]),
            byte_size(one["size_bytes"]),
            "-" if one["memory_bytes"] is None else byte_size(one["memory_bytes"]),
        ]
        for mark, one in zip(_MARKS, front, strict=False)
    ]
    same = alike(document)
    notes: list[str] = [*rivals(document)]
    if same:
        notes.append(
            f"{document['recommended']} and {', '.join(same)} do not differ: on so few validation "
            "images the difference of their accuracies may be chance (99 %)."
        )
    notes.append(
        "In brackets: 99 % intervals for the choice of images. Validation images chose; the test "
        "images were looked at once, after the choice, for these networks alone."
    )
    if document["modelled"]:
        notes.append(f"Latencies are modelled, not measured: {document['latency_from']}")
        notes.append("Sizes are those of the weights, memory that of weights and activations.")
    return Table("The front", columns, rows, notes)


def _facts(document: Mapping[str, Any]) -> Facts:
    pictures, budget = document["pictures"], document["budget"]
    limits = [
        text
        for text in (
            budget["milliseconds"] and duration(budget["milliseconds"]),
            budget["memory_bytes"] and f"{byte_size(budget['memory_bytes'])} of memory",
            budget["size_bytes"] and f"{byte_size(budget['size_bytes'])} of size",
        )
        if text
    ]
    rows = [
        Fact(
            "Pictures",
            f"{pictures['training']:,} for training, {pictures['validation']:,} for "
            f"validation, {pictures['test']:,} for testing, {len(pictures['classes'])} classes",
        ),
        Fact(
            "Device",
            f"{document['target']['name']}: {document['target']['description']}"
            if document["modelled"]
            else f"{', '.join(document['boards'])}, built for {document['target']['name']}",
        ),
        Fact("Budget", ", ".join(limits) or "none"),
        Fact(
            "Training",
            f"{document['epochs']} epochs at full length, from a twin in full "
            "precision that also teaches",
        ),
        Fact(
            "Time",
            f"{document['seconds'] / 60:.0f} minutes, {document['jobs']} runs side by "
            f"side on {document['cores']} cores",
        ),
    ]
    if not document["complete"]:
        rows.append(
            Fact(
                "Unfinished",
                "the time was over before all runs were; the same command "
                "with a longer --time goes on",
                tone=Tone.DOUBTFUL,
            )
        )
    if document["command"]:
        rows.append(Fact("Command", document["command"]))
    return Facts("How", rows)


def _other_tables(document: Mapping[str, Any]) -> list[Table]:
    front = set(document["front"])
    rows = []
    for one in document["networks"]:
        if one["name"] in front:
            continue
        state = one["state"] + (f": {one['reason']}" if one["reason"] else "")
        rows.append(
            [
                one["name"],
                one["series"],
                "-" if one["milliseconds"] is None else duration(one["milliseconds"]),
                "-" if one["validation"] is None else _accuracy(one["validation"]),
                str(one["epochs"]),
                state,
            ]
        )
    names = ("latency", "validation", "epochs")
    columns = [
        Column("network", fold=True),
        Column("bits"),
        *(Column(name, number=True) for name in names),
        Column("state", fold=True),
    ]
    tables = [Table("The others", columns, rows, pages_only=True)] if rows else []
    if document["left_out"]:
        reasons: dict[str, list[str]] = {}
        for name, reason in document["left_out"].items():
            reasons.setdefault(reason, []).append(name)
        tables.append(
            Table(
                "Combinations that were not tried",
                [Column("networks", fold=True), Column("reason", fold=True)],
                [[", ".join(names), reason] for reason, names in reasons.items()],
                pages_only=True,
            )
        )
    return tables


def _comparable(one: Network, document: Mapping[str, Any]) -> bool:
    """Whether it trained as long as the front did."""
    longest = _by_name(document)[document["recommended"]]["epochs"]
    return one["validation"] is not None and one["epochs"] == longest


def _without_latency(trained: Sequence[Network], document: Mapping[str, Any]) -> list[str]:
    floats = [one for one in trained if one["series"] == _FLOAT and one["milliseconds"] is None]
    if not floats:
        return []
    best = max(floats, key=lambda one: _share(one["validation"]))
    return [
        f"In float32, whose latency is not known here, the best is {best['name']}: "
        f"{_accuracy(best['validation'])}."
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
        _share(score),
        None if interval is None else (interval[0], interval[1]),
        accuracy_interval(_share(score), score["images"]),
        marks.get(one["name"], ""),
        f"{what}: {duration(milliseconds)}, {_accuracy(score)}{size}",
    )


def _series_order(item: tuple[str, Any]) -> tuple[int, str]:
    name = item[0]
    return (0 if name.startswith("W") else 1, name)


def _by_name(document: Mapping[str, Any]) -> dict[str, Network]:
    return {one["name"]: one for one in document["networks"]}


def _share(score: Mapping[str, int]) -> float:
    return score["right"] / score["images"]


def _accuracy(score: Mapping[str, int]) -> str:
    low, high = accuracy_interval(_share(score), score["images"])
    return f"{_share(score):.1%} ({low:.1%} to {high:.1%})".replace("% to", " to")


def _latency(one: Network, document: Mapping[str, Any]) -> str:
    low, high = one["interval"] or (None, None)
    figure = duration(one["milliseconds"])
    if low is None or high is None:
        return f"{figure} ({'modelled' if document['modelled'] else 'measured'})"
    reach = f"{duration(low)} to {duration(high)}"
    return (
        f"{figure} (modelled; {reach} by its error)"
        if document["modelled"]
        else (f"{figure} ({reach})")
    )
