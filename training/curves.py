"""A run's curves as one picture, from its report."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bitat_deploy.files import whole_file

_MOST_LEGEND = 12


def draw_curves(report: dict[str, Any], path: Path) -> None:
    """Write a PNG: loss, accuracy, flips of signs in each layer, error of each commit.

    ``report`` is what :func:`~bitat_deploy.training.report.training_report` gives.
    """
    figure = Figure(figsize=(12, 8), layout="constrained")
    loss, accuracy, flips, errors = figure.subplots(2, 2).flat
    ends: list[float] = []
    begin, epochs = 0.0, report["epochs"]
    for index, record in enumerate(epochs):
        ends.append(begin + record["epoch"])
        if index + 1 < len(epochs) and epochs[index + 1]["stage"] != record["stage"]:
            begin = ends[-1]
            for axes in (loss, accuracy, flips):
                axes.axvline(begin, color="0.85", linewidth=0.8)
    loss.plot(ends, [record["loss"] for record in epochs], marker=".")
    loss.set(title="training loss", xlabel="epoch", yscale="log")
    known = [(end, r["validation_top1"]) for end, r in zip(ends, epochs, strict=True)]
    known = [(end, value) for end, value in known if value is not None]
    accuracy.plot([end for end, _ in known], [100 * value for _, value in known], marker=".")
    accuracy.set(title="validation accuracy [%]", xlabel="epoch")
    names = list(epochs[0]["sign_flips"]) if epochs else []
    for name in names:
        flips.plot(ends, [100 * record["sign_flips"][name] for record in epochs], label=name)
    flips.set(title="signs flipped in an epoch [%]", xlabel="epoch")
    if 0 < len(names) <= _MOST_LEGEND:
        flips.legend(fontsize="x-small")
    _draw_errors(errors, report["stages"])
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=100)


def _draw_errors(axes: Axes, stages: list[dict[str, Any]]) -> None:
    commits = [stage for stage in stages if "relative_output_error_before" in stage]
    axes.set(title="relative output error of each commit")
    if not commits:
        axes.text(0.5, 0.5, "no layer was committed", ha="center", transform=axes.transAxes)
        return
    places = range(len(commits))
    for key, label in (("before", "sign(W), mean|w|"), ("after", "committed")):
        heights = [stage[f"relative_output_error_{key}"] for stage in commits]
        axes.plot(places, heights, marker="o", label=label)
    axes.set_xticks(list(places), [stage["stage"] for stage in commits], rotation=90)
    axes.legend()
