"""What an exploration is given, and what every step of it needs."""

from dataclasses import dataclass, field
from pathlib import Path

from bitat_deploy.datasets import FolderSurvey, HeldOut, survey_folder
from bitat_deploy.errors import InputError
from bitat_deploy.exploration.candidates import Candidate, Space, combinations
from bitat_deploy.exploration.costs import Budget
from bitat_deploy.exploration.recipes import Images
from bitat_deploy.exploration.work import CHECKPOINT
from bitat_deploy.target import Target
from bitat_deploy.tuning import default_jobs

CHANNELS = 3


@dataclass(frozen=True)
class ExploreOptions:
    """What to explore; ``candidates`` None: the file in the package.

    Latencies are measured on ``hosts``, boards of one kind, or modelled where there are none.
    ``target`` None: what fits the first board. ``baseline``: the 8-bit networks' twins in ONNX
    Runtime are measured, too.
    ``seconds`` limits this and earlier commands in the folder ``output`` together. ``jobs`` runs
    train side by side. ``storage`` is the URL of a database, None: SQLite in ``output``.
    """

    data: Path
    output: Path
    target: Target | None = None
    hosts: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)
    candidates: Path | None = None
    jobs: int = field(default_factory=default_jobs)
    seconds: float | None = None
    storage: str | None = None
    baseline: bool = True

    def __post_init__(self) -> None:
        if self.target is None and not self.hosts:
            raise InputError("give a target to model the latencies of, or hosts to measure on")


@dataclass(frozen=True)
class Setting:
    """``candidates`` make sense; ``left_out`` says why others do not, by name.

    They are built for ``target``.
    """

    options: ExploreOptions
    target: Target
    space: Space
    survey: FolderSurvey
    candidates: tuple[Candidate, ...]
    left_out: dict[str, str]

    @property
    def images(self) -> Images:
        """How the pictures are used."""
        return Images(self.space.training, validation_images(self.space, self.survey))

    def twin_folder(self, candidate: Candidate) -> Path:
        """The run of a candidate's full-precision twin."""
        return self.options.output.absolute() / "twins" / candidate.twin

    def twin_checkpoint(self, candidate: Candidate) -> Path:
        """Where a candidate begins."""
        return self.twin_folder(candidate) / CHECKPOINT

    def bundle_folder(self, candidate: Candidate) -> Path:
        """Its bundle with drawn weights, to be measured."""
        return self.options.output.absolute() / "bundles" / candidate.name

    def run_folder(self, candidate: Candidate, epochs: int) -> Path:
        """A candidate's run of this length."""
        return self.options.output.absolute() / "runs" / candidate.name / f"{epochs}-epochs"

    def input_shape(self, candidate: Candidate) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return candidate.image_size, candidate.image_size, CHANNELS


def read_pictures(options: ExploreOptions, space: Space) -> FolderSurvey:
    """Look at the pictures. Raises InputError, also where they are too few."""
    training = space.training
    survey = survey_folder(options.data, HeldOut(training.test_share, training.group))
    total = sum(survey.training)
    validation = validation_images(space, survey)
    if total - validation < training.batch_size:
        raise InputError(
            f"'{options.data}' has {total} training images, which leave no batch of "
            f"{training.batch_size} besides {validation} for validation; add photos"
        )
    return survey


def validation_images(space: Space, survey: FolderSurvey) -> int:
    """How many of the training images choose."""
    return max(round(sum(survey.training) * space.training.validation_share), 1)


def read_candidates(space: Space) -> tuple[tuple[Candidate, ...], dict[str, str]]:
    """Those that make sense, and why others do not. Raises InputError where none does."""
    candidates, left_out = combinations(space)
    if not candidates:
        name, reason = next(iter(left_out.items()))
        raise InputError(f"no combination of the candidates file makes sense: of {name}, {reason}")
    return tuple(candidates), left_out
