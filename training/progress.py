"""The progress bar of a training run, with the time left."""

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bitat_deploy.plain_text import foreign_text


class TrainingProgress:
    """One bar over all steps of all stages; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=120,
        )
        self._task = self._progress.add_task("", total=None, loss=0.0)

    def __enter__(self) -> "TrainingProgress":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, total_steps: int, done: int) -> None:
        """Set the bar's length; a resumed run has ``done`` steps already."""
        self._progress.update(self._task, total=total_steps, completed=done)

    def stage(self, name: str) -> None:
        """Name the stage that begins."""
        self._progress.update(self._task, description=name)

    def step(self, loss: float) -> None:
        """One step is done."""
        self._progress.update(self._task, advance=1, loss=loss)

    def note(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(Text(foreign_text(text, 1000)))


def describe_epoch(record: dict[str, Any]) -> str:
    """One line for an epoch's record."""
    parts = [f"  {record['stage']}, epoch {record['epoch']:.3g}: loss {record['loss']:.3f}"]
    if record["validation_top1"] is not None:
        parts.append(f"validation {record['validation_top1']:.4f}")
    flips = list(record["sign_flips"].values())
    parts.append(f"{sum(flips) / max(len(flips), 1):.1%} of signs flipped")
    parts.append(f"{1000 * record['step_seconds']:.0f} ms a step")
    return ", ".join(parts)


def describe_stage(record: dict[str, Any]) -> str:
    """One line for a finished stage's record."""
    parts = [f"{record['stage']}: {record['steps']} steps"]
    if record["validation_top1"] is not None:
        parts.append(f"validation {record['validation_top1']:.4f}")
    if "signs_flipped_fraction" in record:
        parts.append(f"{describe_commit(record)} at its commit")
    return ", ".join(parts) + f", {record['elapsed_seconds']:.0f} s"


def describe_commit(record: dict[str, Any]) -> str:
    """What the commit of a layer did."""
    before, after = (record[f"relative_output_error_{when}"] for when in ("before", "after"))
    flipped = record["signs_flipped_fraction"]
    return f"output error {before:.3f} -> {after:.3f}, {flipped:.1%} of signs flipped"
