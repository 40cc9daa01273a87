"""An exploration's document as a report: the recommendation, the picture, the tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from bitat_deploy.exploration.candidates import FLOAT
from bitat_deploy.exploration.drawing import (
    MARKS,
    Network,
    accuracy,
    by_name,
    comparable,
    listed,
    origin,
    picture,
    reach,
    share,
)
from bitat_deploy.report import (
    Banner,
    Cell,
    Column,
    Fact,
    Facts,
    Report,
    Table,
    Tone,
    banner_of_times,
    byte_size,
    duration,
    proportions_differ,
)


def recommendation(document: Mapping[str, Any]) -> str:
    """One sentence: which network, how accurate, how fast, how large."""
    chosen = by_name(document)[document["recommended"]]
    budget = document["budget"]["milliseconds"]
    within = "" if budget is None else f" within {duration(budget)}"
    of_what = " of weights" if document["modelled"] else ""
    return (
        f"Take {chosen['name']}{within}: {accuracy(chosen['validation'])} of the validation "
        f"images right, {_latency(chosen, document)}, {byte_size(chosen['size_bytes'])}{of_what}."
    )


def exploration_report(document: Mapping[str, Any]) -> Report:
    """All of it for a page or a terminal."""
    networks = by_name(document)
    front = [networks[name] for name in document["front"]]
    chosen = networks[document["recommended"]]
    pictures, target = document["pictures"], document["target"]
    figures = [
        (chosen["series"], "bits of the recommended network"),
        (f"{share(chosen['validation']):.1%}", "validation accuracy"),
        (duration(chosen["milliseconds"]), f"latency, {origin(document)}"),
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
    return banner_of_times(
        document["emulated"],
        document["doubts"],
        (
            "These latencies say nothing about real hardware: do not choose by them.",
            "Do not choose by these latencies:",
        ),
    )


def alike(document: Mapping[str, Any]) -> list[str]:
    """Those of the front from which the recommended network does not differ in accuracy."""
    networks = by_name(document)
    chosen = networks[document["recommended"]]
    return [name for name in document["front"][:-1] if not _differ(networks[name], chosen)]


def rivals(document: Mapping[str, Any]) -> list[str]:
    """What in another runtime is at least as good as the recommended network: no reason to use
    bitat-deploy."""
    networks = by_name(document)
    chosen = networks[document["recommended"]]
    found = []
    for one in document["networks"]:
        if not comparable(one, document) or share(one["validation"]) < share(chosen["validation"]):
            continue
        others = dict(one["others"])
        if one["series"] == FLOAT and one["milliseconds"] is not None:
            others["float32, ONNX Runtime"] = one
        for name, other in others.items():
            if other["milliseconds"] <= chosen["milliseconds"]:
                found.append(
                    f"{one['name']} in {name} is at least as good ({accuracy(one['validation'])}, "
                    f"{duration(other['milliseconds'])}): take that instead."
                )
    return found


def _differ(one: Network, other: Network) -> bool:
    first, second = one["validation"], other["validation"]
    images = (first["images"], second["images"])
    return proportions_differ(share(first), share(second), images)


def _front_table(document: Mapping[str, Any], front: Sequence[Network]) -> Table:
    columns = [
        Column(""),
        Column("network", fold=True),
        Column("bits", pages_only=True),
        Column("latency", number=True),
        Column("validation", number=True),
        Column("99 %", number=True, pages_only=True),
        Column("test", number=True),
        Column("99 %", number=True, pages_only=True),
        Column("size", number=True),
        Column("memory", number=True, pages_only=True),
    ]
    rows = [
        [
            mark,
            Cell(
                one["name"],
                Tone.STRONG if one["name"] == document["recommended"] else Tone.PLAIN,
            ),
            one["series"],
            duration(one["milliseconds"]),
            f"{share(one['validation']):.1%}",
            reach(one["validation"]),
            "-" if one["test"] is None else f"{share(one['test']):.1%}",
            "-" if one["test"] is None else reach(one["test"]),
            byte_size(one["size_bytes"]),
            "-" if one["memory_bytes"] is None else byte_size(one["memory_bytes"]),
        ]
        for mark, one in zip(MARKS, front, strict=False)
    ]
    return Table("The front", columns, rows, _front_notes(document, front))


def _front_notes(document: Mapping[str, Any], front: Sequence[Network]) -> list[str]:
    marks = dict(zip(document["front"], MARKS, strict=False))
    notes = rivals(document)
    if same := alike(document):
        notes.append(
            f"{marks[document['recommended']]} does not differ from "
            f"{listed([marks[name] for name in same])} in accuracy: with so few validation images "
            "the difference may be chance (99 %)."
        )
    budget = document["budget"]["milliseconds"]
    slow = [one for one in front if budget and one["interval"] and one["interval"][1] > budget]
    if slow and document["modelled"]:
        named = listed([marks[one["name"]] for one in slow])
        notes.append(
            f"If the model is as far off as it was for other programs, {named} may take longer "
            "than the budget: measure with bitat-deploy bench."
        )
    notes.append(
        "Validation images decided; the test images were used once, after the choice, for these "
        "networks alone. Intervals are for the choice of the images, not for another training."
    )
    if document["modelled"]:
        notes.append(
            f"Latencies are modelled, not measured: {document['latency_from']}. Sizes are those of "
            "the weights, memory that of weights and activations."
        )
    return notes


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
                "time ran out before all runs were done; the same command "
                "with a longer --time continues",
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
                "-" if one["validation"] is None else f"{share(one['validation']):.1%}",
                str(one["epochs"] or "-"),
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


def _latency(one: Network, document: Mapping[str, Any]) -> str:
    figure, how = duration(one["milliseconds"]), origin(document)
    if one["interval"] is None:
        return f"{figure} ({how})"
    low, high = map(duration, one["interval"])
    by = " by its error" if document["modelled"] else ""
    return f"{figure} ({how}; {low} to {high}{by})"
