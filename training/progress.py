"""What a training run tells while it works, and the bar that shows it, with the time left."""

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
from bitat_deploy.progress import Progress as Callback


class TrainingProgress:
    """What a run tells of its work. This one tells nobody."""

    def begin(self, total_steps: int, done: int) -> None:
        """There are so many steps; a resumed run has ``done`` steps already."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def step(self, loss: float) -> None:
        """One step is done."""

    def note(self, text: str) -> None:
        """One line about an epoch or a stage that is over."""


class ReportedProgress(TrainingProgress):
    """Tells a callback the stage or the last note, the steps done, and how many there are."""

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._stage, self._done, self._total = "", 0, 0

    def begin(self, total_steps: int, done: int) -> None:
        """Remember the numbers for the steps to come."""
        self._done, self._total = done, total_steps

    def stage(self, name: str) -> None:
        """Tell the stage that begins."""
        self._stage = name
        self._callback(name, self._done, self._total)

    def step(self, loss: float) -> None:
        """Tell the stage and its loss."""
        self._done += 1
        self._callback(f"{self._stage}, loss {loss:.3f}", self._done, self._total)

    def note(self, text: str) -> None:
        """Tell the line in place of the stage."""
        self._callback(text, self._done, self._total)


class ConsoleProgress(TrainingProgress):
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

    def __enter__(self) -> "ConsoleProgress":
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
